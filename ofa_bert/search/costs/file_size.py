"""MiB of the ONNX file that an export of the sub-model writes in some precision, as export/onnx/writer.py lays it out.

Counted is the graph of the whole model; the parts that a bundle with early exits has beside it are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ofa_bert.options import option
from ofa_bert.search.costs.base import Cost, Given
from ofa_bert.search.run_modes import Run
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig


class Layout(NamedTuple):
    """Bytes: of a number in the word table, in the encoder's matrices and elsewhere; of what each row of the table and

    each column of a matrix has beside its numbers; and of the nodes with their names, which were measured.
    """

    words: int
    matrices: int
    others: int
    row: int = 0
    column: int = 0
    graph: int = 2530
    layer: int = 2840


# int8 has a float32 scale for each row and column; its static form a zero point for each column too, and words in half
# precision. OpenVINO computes in bf16 from the fp32 file.
LAYOUTS = {
    "fp32": Layout(4, 4, 4),
    "fp16": Layout(2, 2, 2),
    "bf16": Layout(4, 4, 4),
    "int8": Layout(1, 1, 4, row=4, column=4, graph=2660, layer=3420),
    "int8-static": Layout(2, 1, 4, column=5, graph=2030, layer=4910),
}


@dataclass(frozen=True, kw_only=True)
class FileBudget:
    max_file_mib: float | None = option(
        "budget: MiB of the exported ONNX file, in the precision of the `latency_table` that it runs by, else in"
        " `file_precision`",
        None,
        above=0,
    )
    file_precision: str | None = option(
        "without `latency_table`: the precision that the winner is exported in; scores are fp32's; default: fp32",
        None,
        choices=tuple(LAYOUTS),
    )


def file_bytes(shape: ModelShape, sub_model: SubModelConfig, precision: str) -> int:
    """Size of the ONNX file; all but the nodes exact."""
    layout, hidden = LAYOUTS[precision], shape.hidden_size
    words = shape.vocab_size * (shape.embedding_size or hidden)
    matrices = columns = 0
    for heads, ffn in zip(sub_model.heads, sub_model.ffn):
        inner = heads * shape.head_dim
        matrices += 4 * hidden * inner + 2 * hidden * ffn
        columns += 3 * inner + hidden + ffn + hidden
    # The last layer's query, key and value stay in floating point, and its key has no bias.
    last = sub_model.heads[-1] * shape.head_dim
    matrices -= 3 * hidden * last
    columns -= 3 * last
    # ERNIE's task is added to its token types, TinyBERT's projections served its training.
    unwritten = shape.task_type_vocab_size * hidden + (sub_model.depth + 2) * (hidden + 1) * shape.fit_size
    others = count_parameters(shape, sub_model) - unwritten - words - matrices - last
    numbers = layout.words * words + layout.matrices * matrices + layout.others * others
    beside = layout.row * shape.vocab_size + layout.column * columns
    return numbers + beside + layout.graph + layout.layer * sub_model.depth


def _of(given: Given, sub_model: SubModelConfig, run: Run | None) -> float | None:
    """Without a run that of the smallest precision."""
    if given.tables:
        precisions = [given.files[name] for name in (given.tables if run is None else (run.way.precision,))]
    else:
        precisions = [] if given.precision is None else [given.precision]
    return min((file_bytes(given.shape, sub_model, name) / 2**20 for name in precisions), default=None)


COST = Cost(
    "file_mib",
    limit="max_file_mib",
    words="file size",
    column="MiB",
    axis="ONNX file, MiB",
    shown=lambda value: f"{value:.2f}",
    of=_of,
    by_precision=True,
)
