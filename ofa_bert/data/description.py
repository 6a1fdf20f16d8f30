"""What a data set holds, in a line each: its rows and labels, and how long its texts are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.numerics import Ints
from ofa_bert.tasks.task import Task

MUCH = 0.1  # of the rows: so many are not cut by intent
LITTLE = 0.01  # of the rows, which may be cut without harm


@dataclass(frozen=True)
class TokenLengths:
    """Tokens of texts, special ones included, before they were cut at `limit`: percentiles that occur, and the most."""

    rows: int
    p50: int
    p95: int
    longest: int
    cut: int  # rows with more than `limit` tokens
    limit: int

    @classmethod
    def of(cls, whole: Ints, limit: int) -> TokenLengths:
        """whole: int64 [N] with N > 0, as `Encoded.whole`."""
        longest, cut = int(whole.max()), int((whole > limit).sum())
        return cls(len(whole), _percentile(whole, 0.5), _percentile(whole, 0.95), longest, cut, limit)

    def __str__(self) -> str:
        if not self.cut:
            verdict = "none"
        elif self.cut == self.rows:
            verdict = "all"
        else:
            verdict = f"{self.cut} ({_percent(self.cut / self.rows)})"
        return (
            f"tokens p50 {self.p50}, p95 {self.p95}, max {self.longest}, special ones included;"
            f" cut at {self.limit}: {verdict} of {self.rows} rows"
        )


def described(task: Task, encoded: Encoded) -> str:
    """Rows and labels: "872 rows: negative 428, positive 444"."""
    return f"{len(encoded)} row{'s' * (len(encoded) != 1)}: {task.kind.summary(encoded.labels, task.labels)}"


def facts(task: Task, parts: Mapping[str, Encoded | None], limit: int) -> dict[str, object]:
    """The same as JSON: of each part its rows and labels, of train how long texts were before they were cut."""
    held = {name: part for name, part in parts.items() if part is not None}
    whole = held["train"].whole
    return {
        "task": task.name,
        "labels": list(task.labels),
        "parts": {
            name: {"rows": len(part), "examples": part.examples, "holds": described(task, part)}
            for name, part in held.items()
        },
        **({} if whole is None else {"lengths": asdict(TokenLengths.of(whole, limit))}),
    }


def much_is_cut(whole: Ints, limit: int, positions: int) -> str:
    """What to do where more than MUCH of the rows are cut, for a model with so many positions; "" for fewer."""
    share = float((whole > limit).mean())
    if share <= MUCH:
        return ""
    said = f"{_percent(share)} of the training rows are cut at `max_seq_length` {limit}"
    if limit >= positions:
        return f"{said}, and the model has no positions for more"
    enough = _percentile(whole, 1 - LITTLE)
    if enough <= positions:
        return f"{said}; `max_seq_length` {enough} would cut {_percent(float((whole > enough).mean()))}"
    left = _percent(float((whole > positions).mean()))
    return f"{said}; `max_seq_length` {positions}, all that the model has positions for, would cut {left}"


def _percentile(values: Ints, share: float) -> int:
    """The smallest of the values that at least this share of them does not exceed."""
    return int(np.quantile(values, share, method="inverted_cdf"))


def _percent(share: float) -> str:
    """Never 0 % for what is not none, nor 100 % for what is not all."""
    if not share:
        return "none"
    percent = round(100 * share, 1)
    if not percent:
        return "under 0.1 %"
    if share < 1 and percent == 100:
        return "over 99.9 %"
    return f"{percent:g} %"
