"""Any number of labels at once, none included: each is decided by itself, with a threshold of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_bert.errors import UserError
from ofa_bert.files.reading import Json
from ofa_bert.numerics import Array, Bools, Floats, Ints, log_sigmoid
from ofa_bert.reporting import shown
from ofa_bert.tasks.kinds.base import Answer, Golds, Label, LabelColumns, Said, Spans, TaskKind, Values, another_kind
from ofa_bert.tasks.label_text import check_twins, counted, in_order, unknown, whole_number

HALF = 0.5  # where nothing was tuned
_SWITCHES = {"true": True, "false": False}
_ROUNDS = 50  # of a method that needs three or four
_NEARER = 1e-9  # of two thresholds that are as good the one nearer to a half


# scikit-learn is imported where it is used: it takes seconds, and many commands score nothing.
def micro_f1(predictions: Array, labels: Array) -> float:
    """F1 of all labels of all texts [N, C] together; 0 when there is nothing to find and nothing found."""
    return _f1("micro", predictions, labels)


def macro_f1(predictions: Array, labels: Array) -> float:
    """Mean over the labels of each one's F1."""
    return _f1("macro", predictions, labels)


def _f1(average: str, predictions: Array, labels: Array) -> float:
    from sklearn.metrics import f1_score

    if labels.shape[1] == 1:  # which scikit-learn takes for two classes
        return float(f1_score(labels[:, 0] == 1, predictions[:, 0], zero_division=0.0))
    return float(f1_score(labels == 1, predictions, average=average, zero_division=0.0))


def exact_match(predictions: Array, labels: Array) -> float:
    """The share of texts whose every label is right."""
    return float((predictions == (labels == 1)).all(axis=-1).mean())


@dataclass(frozen=True, eq=False)
class Multilabel(TaskKind):
    """Labels are float32 [N, C] of zeros and ones; thresholds [C] are probabilities, a half each unless tuned."""

    def names(self, labels: Sequence[str], width: int) -> tuple[str, ...]:
        return tuple(labels) or tuple(map(str, range(width)))

    def width(self, labels: Sequence[str]) -> int:
        return len(labels)

    def choices(self, width: int) -> int:
        return 2  # it has the label, or not

    def claims(self, columns: LabelColumns, rows: Sequence[tuple[int, Values]]) -> bool:
        several = len(columns.names) > 1 or columns.separator is not None
        return several or isinstance(rows[0][1][0], list)

    def check_columns(self, columns: LabelColumns, labels: Sequence[str] | None) -> None:
        """Columns of zeros and ones are named as the labels are."""
        if len(columns.names) == 1:
            return
        if columns.separator is not None:
            raise UserError(
                f"label_separator {shown(columns.separator)}: is for labels in one column, label_columns names"
                f" {len(columns.names)}"
            )
        if labels is not None and sorted(columns.names) != sorted(labels):
            raise UserError(
                f"label_columns {shown(list(columns.names))}: the labels are {shown(list(labels))}; name those"
            )

    def cell(self, values: Values, columns: LabelColumns) -> Said:
        """The labels that a row has."""
        if len(columns.names) > 1:
            return tuple(name for name, value in zip(columns.names, values) if _is_set(value, name))
        (value,), (name,) = values, columns.names
        if isinstance(value, list):
            found = [_name(item, name) for item in value]
        elif isinstance(value, str) and columns.separator is not None:
            found = [_name(part, name) for part in value.split(columns.separator)] if value.strip() else []
        elif isinstance(value, str):
            raise ValueError(
                f"column {name!r} holds {shown(value)}, no list; for labels written as one text say what stands"
                ' between them, `label_separator` "|"'
            )
        else:
            raise ValueError(f"column {name!r} holds {shown(value)}; write a list of labels, [] for none")
        twice = [label for place, label in enumerate(found) if label in found[:place]]
        if twice:
            raise ValueError(f"column {name!r} has the label {shown(twice[0])} twice")
        return tuple(found)

    def find_labels(self, columns: LabelColumns, cells: Sequence[tuple[int, Said]], guessed: bool) -> tuple[str, ...]:
        """Those that occur, in order; columns of zeros and ones name theirs."""
        if len(columns.names) > 1:
            return columns.names
        every = [(line, label) for line, labels in cells for label in labels]
        if not every:
            raise UserError(f"{columns.path}: column {columns.names[0]!r} has no label in any of its {len(cells)} rows")
        check_twins(columns.path, every, f"`label_kind` {self.word}" if guessed else None)
        return in_order({label for _, label in every})

    def reader(self, labels: Sequence[str], task: str) -> Callable[[Said], tuple[float, ...]]:
        index = {label: i for i, label in enumerate(labels)}

        def read(names: Said) -> tuple[float, ...]:
            row = [0.0] * len(index)
            for name in names:
                if name not in index:
                    raise ValueError(unknown(name, labels, task))
                row[index[name]] = 1.0
            return tuple(row)

        return read

    def said(self, label: Label, labels: Sequence[str]) -> Said:
        if not isinstance(label, tuple) or isinstance(label, (Spans, Golds)):
            raise another_kind(label, self)
        return tuple(name for name, there in zip(labels, label) if there)

    def classes(self, label: Label) -> tuple[int, ...]:
        if not isinstance(label, tuple) or isinstance(label, (Spans, Golds)):
            raise another_kind(label, self)
        return tuple(place for place, there in enumerate(label) if there)

    def summary(self, labels: Array, names: Sequence[str]) -> str:
        """How many rows have each label, and how many have none."""
        none = int((labels == 0).all(axis=-1).sum())
        return counted(names, (labels == 1).sum(axis=0)) + (f"; no label {none}" if none else "")

    def predictions(self, logits: Floats, thresholds: Sequence[float]) -> Array:
        """[N, C] bool."""
        return np.asarray(sigmoid(logits) >= np.asarray(tuple(thresholds) or HALF))

    def right(self, logits: Floats, labels: Array, thresholds: Sequence[float]) -> Bools | None:
        """Where every label is."""
        return np.asarray((self.predictions(logits, thresholds) == (labels == 1)).all(axis=-1))

    def answers(self, logits: Floats, names: Sequence[str], thresholds: Sequence[float]) -> list[Answer]:
        chosen = self.predictions(logits, thresholds)
        return [
            Answer(
                probabilities=tuple(map(float, row)), labels=tuple(name for name, there in zip(names, which) if there)
            )
            for row, which in zip(sigmoid(logits), chosen)
        ]

    def tune(self, logits: Floats, labels: Array) -> tuple[float, ...]:
        """The thresholds with the highest micro F1, exactly (Dinkelbach's method for the ratio 2 TP / (found + true)).

        For a given ratio each label is by itself: it takes the threshold with the most 2 TP - ratio * found. A label
        that none of the texts has keeps a half.
        """
        probabilities, there = sigmoid(logits), labels == 1
        curves = [_Curve.of(column, true) for column, true in zip(probabilities.T, there.T)]
        cuts = [_Curve.at_half(column, true) for column, true in zip(probabilities.T, there.T)]
        ratio, total = -1.0, int(there.sum())
        for _ in range(_ROUNDS):
            found = sum(cut.found for cut in cuts)
            now = 2 * sum(cut.right for cut in cuts) / max(1, found + total)
            if now <= ratio:
                break
            ratio = now
            cuts = [curve.best(ratio) if true.any() else cut for curve, cut, true in zip(curves, cuts, there.T)]
        return tuple(cut.threshold for cut in cuts)

    def decisions(self, logits: Floats) -> Floats:
        """[..., C, 2]: without the label and with it, as softmax of (0, x) is the sigmoid of x."""
        logits = np.asarray(logits)
        return np.stack([np.zeros_like(logits), logits], axis=-1)

    def distance(self, full: Floats, other: Floats) -> float:
        """Mean over texts and labels of KL between having the label and not."""
        return self.cross_entropy(full, other) - self.cross_entropy(full, full)

    def cross_entropy(self, wanted: Floats, logits: Floats) -> float:
        """Mean over texts and labels."""
        p = sigmoid(wanted)
        return float(-np.mean(p * log_sigmoid(logits) + (1 - p) * log_sigmoid(-np.asarray(logits))))

    def code(self, names: Sequence[str], thresholds: Sequence[float]) -> str:
        cuts = list(thresholds) or [HALF] * len(names)
        return (
            f"[[label for label, x, cut in zip({list(names)!r}, row, {cuts!r}) if 1 / (1 + np.exp(-x)) >= cut]"
            " for row in logits]"
        )


@dataclass(frozen=True)
class _Cut:
    """One label decided by a threshold: how many texts are found to have it, and how many of these rightly."""

    threshold: float
    found: int
    right: int


@dataclass(frozen=True)
class _Curve:
    """Every way to cut one label's probabilities: thresholds [K] between them, found [K], right [K]."""

    thresholds: Floats
    found: Ints
    right: Ints

    @classmethod
    def of(cls, probabilities: Floats, there: Bools) -> _Curve:
        order = np.argsort(-probabilities, kind="stable")
        ranked = probabilities[order]
        # Midway between two texts that were seen: rounding, INT8's included, seldom decides.
        edges = np.concatenate([[1.0], ranked, [0.0]])
        thresholds = (edges[:-1] + edges[1:]) / 2
        right = np.concatenate([[0], np.cumsum(there[order])])
        possible = np.concatenate([thresholds[:-1] > ranked, [True]])  # not between equals
        found = np.arange(len(thresholds))
        return cls(thresholds[possible], found[possible], right[possible])

    @staticmethod
    def at_half(probabilities: Floats, there: Bools) -> _Cut:
        found = probabilities >= HALF
        return _Cut(HALF, int(found.sum()), int((found & there).sum()))

    def best(self, ratio: float) -> _Cut:
        worth = 2 * self.right - ratio * self.found - _NEARER * np.abs(self.thresholds - HALF)
        place = int(np.argmax(worth))
        return _Cut(float(self.thresholds[place]), int(self.found[place]), int(self.right[place]))


def sigmoid(logits: Floats) -> Floats:
    """Probabilities in float64."""
    return np.asarray(np.exp(log_sigmoid(logits)))


def _is_set(value: Json, column: str) -> bool:
    """Of a column of zeros and ones. ValueError for anything else."""
    text = str(value).strip().lower()
    number = whole_number(text)
    if text in _SWITCHES:
        return _SWITCHES[text]
    if number in (0, 1):
        return bool(number)
    raise ValueError(
        f"column {column!r} holds {shown(value)}, must be 0 or 1; one column of several labels is named alone"
    )


def _name(value: Json, column: str) -> str:
    """One label of a set. ValueError for what is no name."""
    if type(value) is int:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"column {column!r} has {shown(value)} among its labels, must be a text")
    return value.strip()


KIND = Multilabel(
    "multilabel",
    "multilabel",
    {"micro_f1": micro_f1, "macro_f1": macro_f1, "exact_match": exact_match},
    ("micro_f1", "macro_f1", "exact_match"),
    ("predicted_labels",),
    held_out_share=0.1,
    problem_type="multi_label_classification",
)
