"""JSON from outside, read field by field: types, ranges and lengths are checked where a value is taken.

    fields = Fields(read_json(path), str(path))
    fields.whole("max_seq_length", least=1)

Every fault is one UserError that names the place, the field, what it holds and what it must be.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from ofa_bert.errors import UserError
from ofa_bert.reporting import shown

T = TypeVar("T")

_MISSING = object()


class Fields:
    """An object of a JSON file. `where` begins every message; a missing field is a fault unless `default` is given."""

    def __init__(self, value: Any, where: str, cure: str = "") -> None:
        self.where, self.cure = where, cure
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: is {shown(value)}, must be an object with named fields{self._cure()}")
        self.value = value

    def __contains__(self, name: str) -> bool:
        return self.value.get(name) is not None

    def whole(self, name: str, least: int | None = None, most: int | None = None, default: Any = _MISSING) -> int:
        """A whole number; true and 1.0 are none."""

        def read(value: Any) -> int:
            if type(value) is not int or not _between(value, least, most):
                raise ValueError(f"a whole number{_range(least, most)}")
            return value

        return self._take(name, read, default)

    def number(
        self, name: str, least: float | None = None, most: float | None = None, default: Any = _MISSING
    ) -> float:
        """A finite number."""

        def read(value: Any) -> float:
            if type(value) not in (int, float) or not math.isfinite(value) or not _between(value, least, most):
                raise ValueError(f"a finite number{_range(least, most)}")
            return float(value)

        return self._take(name, read, default)

    def text(self, name: str, choices: Sequence[str] = (), default: Any = _MISSING) -> str:
        def read(value: Any) -> str:
            if not isinstance(value, str) or (choices and value not in choices):
                raise ValueError(f"one of {', '.join(choices)}" if choices else "a text")
            return value

        return self._take(name, read, default)

    def switch(self, name: str, default: Any = _MISSING) -> bool:
        def read(value: Any) -> bool:
            if not isinstance(value, bool):
                raise ValueError("true or false")
            return value

        return self._take(name, read, default)

    def wholes(self, name: str, least: int | None = None, default: Any = _MISSING) -> tuple[int, ...]:
        def read(value: Any) -> tuple[int, ...]:
            whole = isinstance(value, list) and all(type(item) is int and _between(item, least, None) for item in value)
            if not whole:
                raise ValueError(f"a list of whole numbers{_range(least, None)}")
            return tuple(value)

        return self._take(name, read, default)

    def numbers(self, name: str, default: Any = _MISSING) -> tuple[float, ...]:
        def read(value: Any) -> tuple[float, ...]:
            if not isinstance(value, list) or any(type(v) not in (int, float) or not math.isfinite(v) for v in value):
                raise ValueError("a list of finite numbers")
            return tuple(map(float, value))

        return self._take(name, read, default)

    def texts(self, name: str, default: Any = _MISSING) -> tuple[str, ...]:
        def read(value: Any) -> tuple[str, ...]:
            if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
                raise ValueError("a list of texts")
            return tuple(value)

        return self._take(name, read, default)

    def mapping(self, name: str, default: Any = _MISSING) -> Mapping[str, Any]:
        """An object whose content is kept as it is."""

        def read(value: Any) -> Mapping[str, Any]:
            if not isinstance(value, Mapping):
                raise ValueError("an object with named fields")
            return value

        return self._take(name, read, default)

    def inner(self, name: str) -> Fields:
        return Fields(self.mapping(name), f"{self.where}, {name}", self.cure)

    def each(self, name: str, default: Any = _MISSING) -> list[Fields]:
        """Every object of a list of them."""

        def read(value: Any) -> list[Fields]:
            if not isinstance(value, list):
                raise ValueError("a list of objects")
            return [Fields(item, f"{self.where}, {name} {place}", self.cure) for place, item in enumerate(value)]

        return self._take(name, read, default)

    def made(self, name: str, make: Callable[[Any], T]) -> T:
        """What `make` makes of a field; what it finds wrong is said with the place."""
        value = self.value.get(name)
        try:
            return make(value)
        except UserError as error:
            raise UserError(f"{self.where}, {name}: {error}{self._cure()}") from error
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UserError(f"{self.where}, {name}: is {shown(value)}, which does not fit{self._cure()}") from error

    def wrong(self, name: str, wanted: str) -> NoReturn:
        """For what fits only together with other fields."""
        raise UserError(f"{self.where}: {name} is {shown(self.value.get(name))}, must be {wanted}{self._cure()}")

    def _take(self, name: str, read: Callable[[Any], T], default: Any) -> T:
        value = self.value.get(name)
        if value is None:
            if default is _MISSING:
                raise UserError(f"{self.where}: {name} is missing{self._cure()}")
            return default  # type: ignore[no-any-return]  # what the caller named
        try:
            return read(value)
        except ValueError as error:
            self.wrong(name, str(error))

    def _cure(self) -> str:
        return f"; {self.cure}" if self.cure else ""


def _between(value: float, least: float | None, most: float | None) -> bool:
    return (least is None or value >= least) and (most is None or value <= most)


def _range(least: float | None, most: float | None) -> str:
    if least is None and most is None:
        return ""
    return f" from {least:g} to {most:g}" if least is not None and most is not None else f" of at least {least:g}"
