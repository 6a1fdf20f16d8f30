"""JSON from outside, read field by field."""

from __future__ import annotations

import math

import pytest

from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields

WHERE, CURE = "run.json", "write it anew"


def fields(**values):
    return Fields(values, WHERE, CURE)


def refused(read):
    with pytest.raises(UserError) as caught:
        read()
    return str(caught.value)


# reader, its further arguments, a value, what is read
RIGHT = [
    ("whole", {}, 3, 3),
    ("whole", {"least": 3, "most": 3}, 3, 3),
    ("whole", {}, -(10**30), -(10**30)),
    ("number", {}, 2, 2.0),
    ("number", {"least": 0, "most": 1}, 0.25, 0.25),
    ("text", {}, "", ""),
    ("text", {"choices": ("a", "b")}, "b", "b"),
    ("switch", {}, False, False),
    ("wholes", {}, [], ()),
    ("wholes", {"least": 0}, [0, 4], (0, 4)),
    ("numbers", {}, [1, 0.5], (1.0, 0.5)),
    ("texts", {}, ["a", ""], ("a", "")),
    ("mapping", {}, {"a": [1]}, {"a": [1]}),
    ("each", {}, [], []),
]
# reader, its further arguments, a value, how the message goes on behind "must be"
WRONG = [
    ("whole", {}, True, "a whole number"),
    ("whole", {}, 1.0, "a whole number"),
    ("whole", {}, "1", "a whole number"),
    ("whole", {"least": 1}, 0, "a whole number of at least 1"),
    ("whole", {"most": 5}, 6, "a whole number of at most 5"),
    ("whole", {"least": 1, "most": 5}, 6, "a whole number from 1 to 5"),
    ("number", {}, True, "a finite number"),
    ("number", {}, math.nan, "a finite number"),
    ("number", {}, math.inf, "a finite number"),
    ("number", {}, 10**400, "a finite number"),
    ("number", {}, "0.5", "a finite number"),
    ("number", {"least": 0, "most": 1}, 1.5, "a finite number from 0 to 1"),
    ("text", {}, 1, "a text"),
    ("text", {"choices": ("a", "b")}, "c", "one of a, b"),
    ("switch", {}, 1, "true or false"),
    ("switch", {}, "true", "true or false"),
    ("wholes", {}, 1, "a list of whole numbers"),
    ("wholes", {}, [1, True], "a list of whole numbers"),
    ("wholes", {"least": 0}, [0, -1], "a list of whole numbers of at least 0"),
    ("numbers", {}, {}, "a list of finite numbers"),
    ("numbers", {}, [0.5, math.nan], "a list of finite numbers"),
    ("texts", {}, "ab", "a list of texts"),
    ("texts", {}, ["a", None], "a list of texts"),
    ("mapping", {}, [], "an object with named fields"),
    ("each", {}, {}, "a list of objects"),
]


@pytest.mark.parametrize(("reader", "more", "value", "wanted"), RIGHT)
def test_what_fits_is_read(reader, more, value, wanted):
    found = getattr(fields(x=value), reader)("x", **more)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(("reader", "more", "value", "wanted"), WRONG)
def test_what_does_not_fit_is_one_line_with_place_field_value_and_what_is_allowed(reader, more, value, wanted):
    said = refused(lambda: getattr(fields(x=value), reader)("x", **more))
    start, end = f"{WHERE}: x is ", f", must be {wanted}; {CURE}"
    assert said.startswith(start)
    assert said.endswith(end)
    assert said[len(start) : -len(end)]  # the value
    assert "\n" not in said
    if len(repr(value)) < 60:
        assert repr(value) in said


@pytest.mark.parametrize("reader", sorted({name for name, *_ in RIGHT}))
@pytest.mark.parametrize("values", [{}, {"x": None}])
def test_a_missing_field_is_the_default_or_a_fault(reader, values):
    read = getattr(fields(**values), reader)
    assert refused(lambda: read("x")) == f"{WHERE}: x is missing; {CURE}"
    for default in (None, 7, "other"):
        assert read("x", default=default) is default


@pytest.mark.parametrize(("reader", "more", "value", "wanted"), WRONG)
def test_a_default_hides_no_wrong_value(reader, more, value, wanted):
    assert wanted in refused(lambda: getattr(fields(x=value), reader)("x", default=None, **more))


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_only_an_object_has_fields(value):
    said = refused(lambda: Fields(value, WHERE, CURE))
    assert said == f"{WHERE}: is {value!r}, must be an object with named fields; {CURE}"


def test_a_field_that_is_null_is_not_there():
    assert "x" in fields(x=0)
    assert "x" not in fields(x=None)
    assert "x" not in fields()


def test_what_lies_deeper_names_its_whole_way():
    outer = fields(shape={"heads": "two"}, runs=[{"seed": 1}, {"seed": -1}, 5])
    assert refused(lambda: outer.inner("shape").whole("heads")) == (
        f"{WHERE}, shape: heads is 'two', must be a whole number; {CURE}"
    )
    assert refused(lambda: outer.each("runs")) == (
        f"{WHERE}, runs 2: is 5, must be an object with named fields; {CURE}"
    )
    first, second = fields(runs=[{"seed": 1}, {"seed": -1}]).each("runs")
    assert first.whole("seed", least=0) == 1
    assert refused(lambda: second.whole("seed", least=0)) == (
        f"{WHERE}, runs 1: seed is -1, must be a whole number of at least 0; {CURE}"
    )


def _own(value):
    raise UserError(f"{value} heads are too many")


@pytest.mark.parametrize("make", [lambda v: v["a"], lambda v: int(v), lambda v: v.a, lambda v: v + 1, lambda v: {}[v]])
def test_what_a_maker_trips_over_is_one_line(make):
    assert refused(lambda: fields(x="abc").made("x", make)) == f"{WHERE}, x: is 'abc', which does not fit; {CURE}"


def test_what_a_maker_says_is_said_with_the_place():
    assert fields(x=4).made("x", str) == "4"
    assert refused(lambda: fields(x=99).made("x", _own)) == f"{WHERE}, x: 99 heads are too many; {CURE}"


def test_without_a_cure_the_line_ends_with_what_is_allowed():
    assert refused(lambda: Fields({"x": 1}, WHERE).text("x")) == f"{WHERE}: x is 1, must be a text"
    assert refused(lambda: Fields({"x": 1}, WHERE).wrong("x", "less than y")) == f"{WHERE}: x is 1, must be less than y"
