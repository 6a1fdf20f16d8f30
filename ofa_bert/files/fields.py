"""JSON from outside, read field by field: types, ranges and lengths are checked where a value is taken.

    fields = Fields(read_json(path), str(path))
    fields.whole("max_seq_length", least=1)

Every fault is one UserError that names the place, the field, what it holds and what it must be.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar, overload

from ofa_bert.errors import UserError
from ofa_bert.reporting import one_line, shown

T = TypeVar("T")
D = TypeVar("D")


class _Missing(enum.Enum):
    """Stands for a default that nobody gave: then the field must be there."""

    MISSING = enum.auto()


_MISSING = _Missing.MISSING


class Fields:
    """An object of a JSON file. `where` begins every message; a missing field is a fault unless `default` is given.

    null counts as missing.
    """

    def __init__(self, value: object, where: str, cure: str = "") -> None:
        self.where, self.cure = where, cure
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: is {shown(value)}, must be an object with named fields{self._cure()}")
        self.value: Mapping[str, object] = value

    def __contains__(self, name: str) -> bool:
        return self.value.get(name) is not None

    @overload
    def whole(self, name: str, least: int | None = None, most: int | None = None) -> int: ...
    @overload
    def whole(self, name: str, least: int | None = None, most: int | None = None, *, default: D) -> int | D: ...
    def whole(
        self, name: str, least: int | None = None, most: int | None = None, *, default: D | _Missing = _MISSING
    ) -> int | D:
        """A whole number; true and 1.0 are none."""

        def read(value: object) -> int:
            if type(value) is not int or not _between(value, least, most):
                raise ValueError(f"a whole number{_range(least, most)}")
            return value

        return self._take(name, read, default)

    @overload
    def number(self, name: str, least: float | None = None, most: float | None = None) -> float: ...
    @overload
    def number(self, name: str, least: float | None = None, most: float | None = None, *, default: D) -> float | D: ...
    def number(
        self, name: str, least: float | None = None, most: float | None = None, *, default: D | _Missing = _MISSING
    ) -> float | D:
        """A finite number."""

        def read(value: object) -> float:
            number = _finite(value)
            if number is None or not _between(number, least, most):
                raise ValueError(f"a finite number{_range(least, most)}")
            return number

        return self._take(name, read, default)

    @overload
    def text(self, name: str, choices: Sequence[str] = ()) -> str: ...
    @overload
    def text(self, name: str, choices: Sequence[str] = (), *, default: D) -> str | D: ...
    def text(self, name: str, choices: Sequence[str] = (), *, default: D | _Missing = _MISSING) -> str | D:
        def read(value: object) -> str:
            if not isinstance(value, str) or (choices and value not in choices):
                raise ValueError(f"one of {', '.join(choices)}" if choices else "a text")
            return value

        return self._take(name, read, default)

    @overload
    def switch(self, name: str) -> bool: ...
    @overload
    def switch(self, name: str, *, default: D) -> bool | D: ...
    def switch(self, name: str, *, default: D | _Missing = _MISSING) -> bool | D:
        def read(value: object) -> bool:
            if not isinstance(value, bool):
                raise ValueError("true or false")
            return value

        return self._take(name, read, default)

    @overload
    def wholes(self, name: str, least: int | None = None) -> tuple[int, ...]: ...
    @overload
    def wholes(self, name: str, least: int | None = None, *, default: D) -> tuple[int, ...] | D: ...
    def wholes(self, name: str, least: int | None = None, *, default: D | _Missing = _MISSING) -> tuple[int, ...] | D:
        def read(value: object) -> tuple[int, ...]:
            items = _items(value)
            found = tuple(item for item in items or () if type(item) is int and _between(item, least, None))
            if items is None or len(found) < len(items):
                raise ValueError(f"a list of whole numbers{_range(least, None)}")
            return found

        return self._take(name, read, default)

    @overload
    def numbers(self, name: str) -> tuple[float, ...]: ...
    @overload
    def numbers(self, name: str, *, default: D) -> tuple[float, ...] | D: ...
    def numbers(self, name: str, *, default: D | _Missing = _MISSING) -> tuple[float, ...] | D:
        def read(value: object) -> tuple[float, ...]:
            items = _items(value)
            found = tuple(number for number in map(_finite, items or ()) if number is not None)
            if items is None or len(found) < len(items):
                raise ValueError("a list of finite numbers")
            return found

        return self._take(name, read, default)

    @overload
    def texts(self, name: str) -> tuple[str, ...]: ...
    @overload
    def texts(self, name: str, *, default: D) -> tuple[str, ...] | D: ...
    def texts(self, name: str, *, default: D | _Missing = _MISSING) -> tuple[str, ...] | D:
        def read(value: object) -> tuple[str, ...]:
            items = _items(value)
            found = tuple(item for item in items or () if isinstance(item, str))
            if items is None or len(found) < len(items):
                raise ValueError("a list of texts")
            return found

        return self._take(name, read, default)

    @overload
    def mapping(self, name: str) -> Mapping[str, object]: ...
    @overload
    def mapping(self, name: str, *, default: D) -> Mapping[str, object] | D: ...
    def mapping(self, name: str, *, default: D | _Missing = _MISSING) -> Mapping[str, object] | D:
        """An object whose content is kept as it is."""

        def read(value: object) -> Mapping[str, object]:
            if not isinstance(value, Mapping):
                raise ValueError("an object with named fields")
            return value

        return self._take(name, read, default)

    def inner(self, name: str) -> Fields:
        return Fields(self.mapping(name), f"{self.where}, {name}", self.cure)

    @overload
    def each(self, name: str) -> list[Fields]: ...
    @overload
    def each(self, name: str, *, default: D) -> list[Fields] | D: ...
    def each(self, name: str, *, default: D | _Missing = _MISSING) -> list[Fields] | D:
        """Every object of a list of them."""

        def read(value: object) -> list[Fields]:
            items = _items(value)
            if items is None:
                raise ValueError("a list of objects")
            return [Fields(item, f"{self.where}, {name} {place}", self.cure) for place, item in enumerate(items)]

        return self._take(name, read, default)

    def made(self, name: str, make: Callable[[Any], T]) -> T:
        """What `make` makes of a field; what it finds wrong is said with the place.

        Any: it may expect what it likes, since whatever it raises for another value becomes a UserError here.
        """
        value = self.value.get(name)
        try:
            return make(value)
        except UserError as error:
            raise UserError(f"{self.where}, {name}: {error}{self._cure()}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(f"{self.where}, {name}: is {shown(value)}, which does not fit{self._cure()}") from error

    def wrong(self, name: str, wanted: str) -> NoReturn:
        """For what fits only together with other fields."""
        raise UserError(
            f"{self.where}: {one_line(name, 80)} is {shown(self.value.get(name))}, must be {wanted}{self._cure()}"
        )

    def _take(self, name: str, read: Callable[[object], T], default: D | _Missing) -> T | D:
        value = self.value.get(name)
        if value is None:
            if isinstance(default, _Missing):
                raise UserError(f"{self.where}: {name} is missing{self._cure()}")
            return default
        try:
            return read(value)
        except ValueError as error:
            self.wrong(name, str(error))

    def _cure(self) -> str:
        return f"; {self.cure}" if self.cure else ""


def _items(value: object) -> list[object] | None:
    return value if isinstance(value, list) else None


def _finite(value: object) -> float | None:
    """The number that a value is; true is none, and 10^400 is none that a float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _between(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _range(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f" from {least:g} to {most:g}"
    if most is not None:
        return f" of at most {most:g}"
    return "" if least is None else f" of at least {least:g}"
