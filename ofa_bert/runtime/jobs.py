"""What predict and trtexec do, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofa_bert.data.schema import TextSchema
from ofa_bert.data.table_files import SUFFIXES
from ofa_bert.exits.criteria.registry import CRITERIA, default, thresholds_described
from ofa_bert.exits.policy import MODES
from ofa_bert.options import option, repeated
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.runtime.backends.registry import BACKENDS, PROVIDERS
from ofa_bert.system.accelerator import ENGINE_DEVICES, means

# What `output_columns` may name.
PREDICTIONS, PROBABILITIES, LOGITS, EXIT_LAYER = "predictions", "probabilities", "logits", "exit_layer"


@dataclass(frozen=True, kw_only=True)
class PredictJob:
    """The texts of a file, answered by a bundle."""

    bundle: str = option("directory that export_model.py `static_sub_model` wrote")
    input: str = option("file with the texts: .tsv, .csv or .jsonl")
    output: str = option("file to write, in the format of `input`: its columns and what was predicted")
    text_columns: tuple[str, ...] | None = option(
        "names of the one or two text columns; default: those that the model was trained on; whole numbers mean that"
        " there is no header and count columns from 0",
        None,
    )
    schema: TextSchema = TextSchema()
    all_probabilities: bool = option("also write the probability of every single label", False)
    output_columns: tuple[Literal["predictions", "probabilities", "logits", "exit_layer"], ...] | None = option(
        "what to write of each text, in this order, instead of the usual columns; a list in TSV and CSV has | between"
        " its values",
        None,
    )
    append_columns: tuple[str, ...] | None = option(
        "the columns of `input` to keep in `output`, by name or by a name of `input_schema`; default: all, and none"
        " with `output_columns`",
        None,
    )
    backend: str = option(
        "library that computes; auto takes the first that is installed and has a file in the bundle",
        "auto",
        choices=("auto", *BACKENDS),
    )
    precision: str = option(
        "what to compute in; bf16 uses the fp32 model, int8 the form of it that the back end runs fastest",
        "fp32",
        choices=PRECISIONS,
    )
    workers: int = option(
        "processes that compute side by side, each on cores of its own; 0: in this process", 0, least=0
    )
    threads: int | None = option("threads per process; default: all cores, divided among the workers", None, above=0)
    batch_size: int = option("texts of about one length that are computed together, at most", 64, above=0)
    max_tokens_per_batch: int | None = option(
        "tokens of a batch, padding included, at most; default: 512 per thread on a CPU, 16384 on a GPU", None, above=0
    )
    device: str = option("where to compute; cuda: the same as gpu", "cpu", choices=ENGINE_DEVICES, means=means)
    provider: str | None = option("how a GPU is used; default: cuda with `device` gpu", None, choices=PROVIDERS)

    exit_threshold: str | None = option(
        "answer at the first exit that is sure enough: policy takes the threshold that was exported with the bundle; a"
        f" number means what `exit_criterion` says ({thresholds_described()}), and 0 that nobody leaves early;"
        " default: every text runs through the whole model",
        None,
    )
    exit_mode: str | None = option(
        "threshold: each exit decides; predicted: the exit is told from the tokens beforehand; default: the policy's",
        None,
        choices=MODES,
    )
    exit_criterion: str | None = option(
        "what a number is compared with; default: as the bundle's policy, or its exits, have it", None, choices=CRITERIA
    )
    exit_drop: float | None = option(
        "instead of `exit_threshold`: the fastest threshold of the bundle's policy that promises to lose at most so"
        " much of the score, 0.01 is one point",
        None,
        above=0,
        below=1,
    )
    geep_threshold: float | None = option(
        f"short for `exit_threshold` X `exit_criterion` {default('geep').name}: 0 nobody leaves early, 1 all do",
        None,
        least=0,
        most=1,
    )

    @property
    def threshold(self) -> float | str | None:
        """Of early exits, however it was given; None: the whole model answers every text, or a drop was given."""
        return self.exit_threshold if self.geep_threshold is None else self.geep_threshold

    @property
    def criterion(self) -> str | None:
        """What a number is compared with."""
        return self.exit_criterion if self.geep_threshold is None else default("geep").name

    @property
    def early(self) -> bool:
        """Whether texts may leave early."""
        return self.threshold is not None or self.exit_drop is not None

    def problems(self) -> list[str]:
        problems = []
        formats = {name: Path(file).suffix.lower() for name, file in (("input", self.input), ("output", self.output))}
        for name, suffix in formats.items():
            if suffix not in SUFFIXES:
                problems.append(f"`{name}` {getattr(self, name)}: must end in {', '.join(SUFFIXES)}")
        if not problems and len(set(formats.values())) > 1:
            problems.append(f"`output` {self.output}: must end in {formats['input']}, as `input` does")
        if Path(self.input).resolve() == Path(self.output).resolve():
            problems.append(f"`output` {self.output}: is the input file; name another one")
        problems += self._exit_problems() + self._column_problems()
        return problems

    def _exit_problems(self) -> list[str]:
        given = [name for name in ("exit_threshold", "geep_threshold", "exit_drop") if getattr(self, name) is not None]
        if len(given) > 1:
            return [f"{' and '.join(f'`{name}`' for name in given)} exclude each other: give one of them"]
        if self.exit_threshold is None and (self.exit_mode or self.exit_criterion):
            return ["`exit_mode` and `exit_criterion` need `exit_threshold`: policy or a number"]
        return []

    def _column_problems(self) -> list[str]:
        problems = self.schema.clashes(self.text_columns)
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"`text_columns` {' '.join(self.text_columns)}: one or two columns")
        for name in ("output_columns", "append_columns"):
            problems += repeated(name, getattr(self, name) or ())
        if self.output_columns and self.all_probabilities:
            problems.append(f"`all_probabilities`: with `output_columns` take {PROBABILITIES} of them")
        if EXIT_LAYER in (self.output_columns or ()) and not self.early:
            problems.append(f"`output_columns` {EXIT_LAYER}: needs `exit_threshold`, `geep_threshold` or `exit_drop`")
        return problems


@dataclass(frozen=True, kw_only=True)
class TrtexecJob:
    """The command line that compiles a bundle for TensorRT."""

    bundle: str = option("directory that export_model.py `static_sub_model` `onnx` wrote")
    precision: str = option(
        "fp32, fp16 or int8-static: the ONNX file of the bundle that TensorRT is given, in whose types it computes",
        "fp16",
    )
    tensorrt: Literal["11", "10"] = option(
        "major version of the TensorRT whose trtexec it is; 10 means 10.12 or later", "11"
    )
    batch: tuple[int, ...] = option("least, best and most texts of a batch", (1, 16, 64))
    length: tuple[int, ...] | None = option(
        "least, best and most tokens of a text; default: 1, 64 and the bundle's longest input", None
    )
    engine: str = option("file that trtexec is to write", "model.plan")

    def problems(self) -> list[str]:
        refused = tensorrt.refusal(self.precision)
        return [] if refused is None else [refused]
