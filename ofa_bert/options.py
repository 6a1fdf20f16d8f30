"""Options: fields of frozen dataclasses that say their help, default, choices and range, once.

    @dataclass(frozen=True, kw_only=True)
    class Schedule:
        num_train_epochs: float = option("passes over the training data", 3.0, above=0)
        stages: Literal["joint", "width,width_depth"] = option("which sub-models are trained when", "joint")

The type is the annotation's: int, float, str, bool, a Literal of strings, a tuple of one of them, or one of these and
None. A field whose type is such a dataclass is a group: its options belong to the whole. A command line
(`cli.parser`) and the JSON beside a result are made of options by name, whatever group they stand in.

A message about an option puts its name in backticks, `num_train_epochs` 0; on a command line that reads as a flag.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

T = TypeVar("T")

_RANGES: dict[str, tuple[str, Callable[[float, float], bool]]] = {
    "above": ("must be above {}", lambda value, bound: value > bound),
    "least": ("must be at least {}", lambda value, bound: value >= bound),
    "most": ("must be at most {}", lambda value, bound: value <= bound),
    "below": ("must be below {}", lambda value, bound: value < bound),
}


@overload
def option(
    help: str,
    default: T,
    *,
    choices: Sequence[str] = (),
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    example: str = "",
    means: Callable[[str], str] | None = None,
    spells: Callable[[str], Mapping[str, object] | None] | None = None,
    presets: Mapping[str, Mapping[str, object]] | None = None,
) -> T: ...
@overload
def option(
    help: str,
    *,
    choices: Sequence[str] = (),
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    example: str = "",
) -> Any: ...  # whatever the annotation says
def option(
    help: str,
    default: object = dataclasses.MISSING,
    *,
    choices: Sequence[str] = (),
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
    example: str = "",
    means: Callable[[str], str] | None = None,
    spells: Callable[[str], Mapping[str, object] | None] | None = None,
    presets: Mapping[str, Mapping[str, object]] | None = None,
) -> object:
    """A dataclass field that is an option; without a default it is required.

    choices: the words that a text may be, where they are not the annotation's own. above, least, most, below: the range
    of a number, or of each of several. example: what a message about the range adds. means: what a value, also the
    default, stands for on this machine; `build` puts that in its place. spells: the options, this one among them, that
    a word of a command line stands for; None for a word that is a plain value. presets: for each word, what it gives
    other options of the whole; one that is given all the same counts instead (`build`, not the class itself, sees it).
    """
    bounds = {"above": above, "least": least, "most": most, "below": below}
    ranges = {name: bound for name, bound in bounds.items() if bound is not None}
    metadata = {
        "help": help, "choices": tuple(choices), "ranges": ranges, "example": example, "means": means, "spells": spells,
        "presets": presets or {},
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


def unused(value: object, names: Sequence[str], why: str) -> list[str]:
    """A problem for every option of these that was given, though nothing would read it."""
    given = values_of(value)
    standing = preset_values(type(value), given)
    return [
        f"`{item.name}`: {why}"
        for item in options_of(type(value))
        if item.name in names
        and given[item.name] != (None if item.required else item.default)
        and given[item.name] != standing.get(item.name)
    ]


def preset_values(cls: type, values: Mapping[str, object]) -> dict[str, object]:
    """Option name -> value that a preset among these values gives it."""
    found: dict[str, object] = {}
    for item in options_of(cls):
        word = values.get(item.name)
        if isinstance(word, str):
            found.update(item.presets.get(word, {}))
    return found


class Option(NamedTuple):
    """One option of a dataclass: what its field says, and `path`, the names of the groups that lead to it."""

    name: str
    path: tuple[str, ...]
    kind: type  # int, float, str or bool
    many: bool
    choices: tuple[str, ...]
    default: object  # dataclasses.MISSING: it is required
    help: str
    ranges: Mapping[str, float]
    example: str
    spells: Callable[[str], Mapping[str, object] | None] | None = None
    presets: Mapping[str, Mapping[str, object]] = types.MappingProxyType({})

    @property
    def required(self) -> bool:
        return self.default is dataclasses.MISSING

    @property
    def lacking(self) -> str:
        """What is said where it is required and not there."""
        return f"`{self.name}` is required: {self.help.split(';')[0].split('. ')[0].removesuffix('.')}"

    def problems(self, value: object) -> list[str]:
        """What is wrong with a value: not among the choices, not in the range."""
        found = []
        for item in value if isinstance(value, (tuple, list)) else [value]:
            if item is None:
                continue
            if self.choices and item not in self.choices:
                found.append(f"`{self.name}` {item}: must be one of {', '.join(self.choices)}")
            wrong = [
                _RANGES[name][0].format(_shown(bound))
                for name, bound in self.ranges.items()
                if not self._fits(name, item)
            ]
            if wrong:
                both = [_RANGES[name][0].format(_shown(bound)) for name, bound in self.ranges.items()]
                text = " and ".join([both[0], *(words.removeprefix("must be ") for words in both[1:])])
                found.append(f"`{self.name}` {item}: {text}{self.example}")
        return found

    def _fits(self, name: str, item: object) -> bool:
        return isinstance(item, (int, float)) and _RANGES[name][1](item, self.ranges[name])


def _shown(bound: float) -> str:
    return f"{bound:g}"


_KNOWN: dict[type, tuple[Option, ...]] = {}


def options_of(cls: type) -> tuple[Option, ...]:
    """The options of a dataclass and of its groups, in their order."""
    if cls not in _KNOWN:
        _KNOWN[cls] = tuple(_options(cls, (), None))
    return _KNOWN[cls]


def _options(cls: type, path: tuple[str, ...], defaults: object) -> Iterator[Option]:
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        own = field.default if defaults is None else getattr(defaults, field.name)
        if field.default_factory is not dataclasses.MISSING and defaults is None:
            own = field.default_factory()
        hint = hints[field.name]
        if dataclasses.is_dataclass(hint):
            yield from _options(
                typing.cast(type, hint), (*path, field.name), None if own is dataclasses.MISSING else own
            )
        elif "help" in field.metadata:
            about = field.metadata
            kind, many, literal = _kind(hint)
            words = about["choices"] or literal
            ranges, example, spells, presets = (about[name] for name in ("ranges", "example", "spells", "presets"))
            yield Option(field.name, path, kind, many, words, own, about["help"], ranges, example, spells, presets)


def _kind(hint: object) -> tuple[type, bool, tuple[str, ...]]:
    """(type of one word, whether there may be several, the words that it may be)."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = [part for part in typing.get_args(hint) if part is not types.NoneType]
    if typing.get_origin(hint) is tuple:
        kind, _, literal = _kind(typing.get_args(hint)[0])
        return kind, True, literal
    if typing.get_origin(hint) is typing.Literal:
        return str, False, tuple(typing.get_args(hint))
    for kind in (int, float, str, bool):
        if hint is kind:
            return kind, False, ()
    raise TypeError(f"an option cannot be a {hint}")


def build(cls: type[T], values: Mapping[str, object]) -> T:
    """The dataclass with these values by option name; what is left out has a preset's value, else its default."""
    return typing.cast(T, _build(cls, (), None, options_of(cls), {**preset_values(cls, values), **values}))


def _build(
    cls: type, path: tuple[str, ...], defaults: object, options: Sequence[Option], values: Mapping[str, object]
) -> object:
    hints, given = typing.get_type_hints(cls), {}
    for field in dataclasses.fields(cls):
        own = field.default if defaults is None else getattr(defaults, field.name)
        if field.default_factory is not dataclasses.MISSING and defaults is None:
            own = field.default_factory()
        if dataclasses.is_dataclass(hints[field.name]):
            below = None if own is dataclasses.MISSING else own
            given[field.name] = _build(hints[field.name], (*path, field.name), below, options, values)
        elif field.name in values and "help" in field.metadata:
            given[field.name] = values[field.name]
        elif own is not dataclasses.MISSING:
            given[field.name] = own
        means = field.metadata.get("means")
        if means is not None and field.name in given:
            given[field.name] = means(given[field.name])
    return cls(**given)


def values_of(value: object) -> dict[str, object]:
    """Option name -> value, of a dataclass with its groups."""
    found = {}
    for item in options_of(type(value)):
        place = value
        for name in item.path:
            place = getattr(place, name)
        found[item.name] = getattr(place, item.name)
    return found


def problems_of(value: object) -> list[str]:
    """All that is wrong: each option's own problems, then what `problems()` of each group, and of the whole, says."""
    values = values_of(value)
    found = [problem for item in options_of(type(value)) for problem in item.problems(values[item.name])]
    return found + _problems_together(value)


def _problems_together(value: object) -> list[str]:
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return []
    found: list[str] = []
    for field in dataclasses.fields(value):
        found += _problems_together(getattr(value, field.name))
    own = getattr(value, "problems", None)
    return found + (own() if own is not None else [])


def repeated(name: str, values: Sequence[object]) -> list[str]:
    """A problem for each value of an option that was given twice."""
    return [f"`{name}` {value}: given twice" for value in dict.fromkeys(values) if list(values).count(value) > 1]


def to_json(value: object) -> dict[str, object]:
    """Option name -> value as JSON has it, for saving beside a result."""
    return typing.cast(dict[str, object], json.loads(json.dumps(values_of(value))))


def changes(before: Mapping[str, object], now: Mapping[str, object], quote: str = "") -> str:
    """In words what differs between two sets of settings, "" when nothing does; `quote` goes around each name."""
    names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    return "; ".join(f"{quote}{name}{quote} was {before.get(name)}, now {now.get(name)}" for name in names)


def arguments(value: object, defaults: bool = True) -> list[str]:
    """The words of the command line that makes this value; options at their defaults only with `defaults`."""
    words: list[str] = []
    values = values_of(value)
    standing = preset_values(type(value), values)
    for item, own in zip(options_of(type(value)), values.values(), strict=True):
        unsaid = not defaults and own == standing.get(item.name, item.default)
        if own is None or own is False or own in ((), []) or unsaid:
            continue
        words.append(f"--{item.name}")
        if own is not True:
            words += map(str, own if isinstance(own, (tuple, list)) else [own])
    return words
