"""Points that are planted, and rows of them as points.json has them."""

from ofa_bert.load.points import Point


def point(name, score, times, length=128):
    """times: batch -> milliseconds, at one length."""
    return Point(name, score, {(batch, length): ms for batch, ms in times.items()})


def linear(name, score, first, each, largest=16, lengths=(128,)):
    """`first` milliseconds for one request of the largest length, `each` for every further one; shorter ones less."""
    return Point(
        name,
        score,
        {
            (batch, length): (first + each * (batch - 1)) * length / lengths[-1]
            for batch in (1, largest)
            for length in lengths
        },
    )


LADDER = (linear("full", 90.0, 18.0, 12.0), linear("half", 88.0, 9.0, 5.0), linear("small", 84.0, 3.0, 1.5))


def as_json(points):
    return {
        "points": [
            {
                "name": each.name,
                "score": each.score,
                "milliseconds": [{"batch": b, "length": n, "ms": ms} for (b, n), ms in each.measured.items()],
            }
            for each in points
        ]
    }
