"""What a picture says and where: its texts, and whether names cover each other."""

import itertools

from matplotlib.text import Text


def boxes(figure, axis):
    """name -> its box in pixels, of everything that is written in a panel by name."""
    figure.draw_without_rendering()
    return {text.get_text(): Text.get_window_extent(text) for text in axis.texts if text.get_text()}


def overlapping(found):
    return [(one, other) for (one, a), (other, b) in itertools.combinations(found.items(), 2) if a.overlaps(b)]


def labels(figure):
    """Of all legends of a picture."""
    legends = [*figure.legends, *(axis.get_legend() for axis in figure.axes)]
    return [text.get_text() for each in legends if each is not None for text in each.get_texts()]


def note(figure):
    """What stands underneath, in one line."""
    return " ".join(figure.get_supxlabel().split())


def upright_lines(axis):
    """Where lines stand that go from the lower edge to the upper one, by their labels."""
    return {line.get_label(): line.get_xdata()[0] for line in axis.lines if _spans(line.get_ydata())}


def level_lines(axis):
    return {line.get_label(): line.get_ydata()[0] for line in axis.lines if _spans(line.get_xdata())}


def _spans(values):
    return len(values) == 2 and tuple(values) == (0, 1)
