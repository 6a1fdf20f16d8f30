"""The exit criteria by name. A new one is a file beside this one and its name in the two lines below."""

from __future__ import annotations

from ofa_bert.exits.criteria import certainty, entropy, margin, normalised, patience
from ofa_bert.exits.criteria.base import CLASSES, NUMBERS, Criterion

_EVERY: dict[str, Criterion] = {
    each.name: each
    for each in (
        entropy.CRITERION,
        normalised.CRITERION,
        certainty.CRITERION,
        patience.CRITERION,
        margin.CRITERION,
    )
}

CRITERIA: tuple[str, ...] = tuple(_EVERY)
FOR_NUMBERS = tuple(name for name, each in _EVERY.items() if each.for_numbers)


def criterion(name: str) -> Criterion:
    """ValueError for a name that none has."""
    if name not in CRITERIA:
        raise ValueError(f"no criterion {name!r}; there are {', '.join(CRITERIA)}")
    return _EVERY[name]


def default(training: str | None = None, numbers: bool = False) -> Criterion:
    """For exits that were trained so, and that predict numbers or classes."""
    wanted = (NUMBERS,) if numbers else (training, CLASSES)
    return next(each for what in wanted for each in _EVERY.values() if what in each.default_for)


def thresholds_described() -> str:
    """What a number given as a threshold means, for help texts."""
    return "; ".join(f"{name}: {each.about}" for name, each in _EVERY.items())


def defaults_described() -> str:
    """Which criterion is taken unless one is given, for help texts."""
    return ", ".join(
        f"{name} for {' and '.join(each.default_for)}" for name, each in _EVERY.items() if each.default_for
    )
