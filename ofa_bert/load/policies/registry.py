"""The policies by name. A new one is a class beside these and its entry below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.load.points import Point, value_of
from ofa_bert.load.policies.base import Policy
from ofa_bert.load.policies.baselines import AccuracyFirst, BatchFirst, Fixed, FixedShed
from ofa_bert.load.policies.slackfit import SlackFit
from ofa_bert.reporting import one_line


class Kind(NamedTuple):
    """one_point: it answers with the point that its name ends in, as fixed:w1_d1; default: the best score."""

    make: Callable[[Sequence[Point]], Policy]
    about: str
    one_point: bool = False


POLICIES = {
    "slackfit": Kind(SlackFit, "the largest batch that meets every deadline, then the best score"),
    "accuracy_first": Kind(AccuracyFirst, "the best score that meets the first deadline"),
    "batch_first": Kind(BatchFirst, "as slackfit, but each worker takes all it can, at once"),
    "fixed_shed": Kind(FixedShed, "one point, late requests turned away", one_point=True),
    "fixed": Kind(Fixed, "one point, nobody turned away", one_point=True),
}


def policy_named(word: str, points: Sequence[Point]) -> Policy:
    """slackfit, or fixed:NAME for a certain point. UserError for a name that nothing has."""
    name, colon, wanted = word.partition(":")
    if name not in POLICIES or (colon and not POLICIES[name].one_point):
        single = " or ".join(f"{key}:POINT" for key, kind in POLICIES.items() if kind.one_point)
        raise UserError(f"`policies` {one_line(word, 80)}: must be one of {', '.join(POLICIES)}; or {single}")
    kind = POLICIES[name]
    if not kind.one_point:
        return kind.make(points)
    if not colon:
        return kind.make([max(points, key=value_of)])
    found = [point for point in points if point.name == wanted]
    if not found:
        names = ", ".join(point.name for point in points[:20])
        raise UserError(f"`policies` {one_line(word, 80)}: no such point; there are {one_line(names)}")
    return kind.make(found)
