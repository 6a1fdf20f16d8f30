"""What export_model.py and vocabulary do, as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ofa_bert.bundle.entries import FILE_PRECISIONS, HALF_STATIC, NNCF
from ofa_bert.bundle.manifest import SHORTEST_INPUT
from ofa_bert.data.source import LABEL_OPTIONS, DataSource
from ofa_bert.data.table_files import SUFFIXES
from ofa_bert.engines.job import EngineOptions
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.models.sub_model_choice import SubModelChoice
from ofa_bert.options import option, repeated, unused
from ofa_bert.system.accelerator import WHERE, Device, means
from ofa_bert.training.supernet.polishing import Polishing

PLAIN = ".txt"  # a text a line


@dataclass(frozen=True, kw_only=True)
class ExportJob:
    """What `export_sub_model` and export_model.py do.

    Options as PaddleNLP's script has them, the device, which its README promises, and deployment's own.

    >>> from ofa_bert import ExportJob, make_job
    >>> job = make_job(ExportJob, model_name_or_path="supernet", width_mult=2 / 3, sub_model_output_dir="small",
    ...                static_sub_model="small-bundle", precision=["fp32", "int8"])
    >>> job.precision
    ('fp32', 'int8')
    """

    data: DataSource = DataSource()
    model_name_or_path: str = option("output directory of run_glue_ofa.py, or its best/ or last/")
    sub_model_output_dir: str = option("where the dynamic sub-model goes; it reloads and can be finetuned further")
    model_type: str = model_type_option()
    static_sub_model: str | None = option("where the static model goes, ready to deploy; left out: none is made", None)
    choice: SubModelChoice = SubModelChoice()
    polishing: Polishing = Polishing()
    onnx: bool = option("write model.onnx beside the static model", False)
    precision: tuple[str, ...] = option(
        "precisions to write, several at once; fp32 always is. fp16: ONNX for GPUs. bf16: model.onnx in OpenVINO."
        " int8: ONNX for CPUs, activations quantized as they come. int8-static: activations quantized by scales from"
        " training sentences (needs data), for Paddle Inference, OpenVINO and TensorRT. int8-static-fp16: the same with"
        " FP16 for all else, which TensorRT compiles for Turing too. int8-nncf: quantized by OpenVINO's NNCF,"
        " attention's products too, for OpenVINO (needs data and NNCF)",
        ("fp32",),
        choices=FILE_PRECISIONS,
    )
    fused: bool = option(
        "also write ONNX graphs of ONNX Runtime's own operators (fused attention), for its CUDA provider, in fp32 and,"
        " if asked for, fp16",
        False,
    )
    max_drop: float = option(
        "points of dev score that a precision may lose; more fails the command. Without data no score is measured",
        1.0,
        least=0,
    )
    calibration_sentences: int = option(
        "training sentences that fix the scales of int8-static and int8-nncf", 256, above=0
    )
    trim_vocab: str | None = option(
        "file with one token a line: only the embeddings of these tokens and of the special ones are kept", None
    )
    hugging_face: str | None = option(
        "where the sub-model goes as Hugging Face's transformers reads it: AutoModel..., tokenizer and model card", None
    )
    transformers: Literal["4", "5"] | None = option(
        "the version of transformers that reads `hugging_face`: 4 leaves the heads that a layer lacks out, 5 has"
        " nothing for that, so they are written as zeros, which 4 reads too; default: the installed one, else 5",
        None,
    )
    exit_policy: str | None = option(
        "for a model with exits: output of python -m ofa_bert exits, whose threshold goes into the static model's"
        " directory",
        None,
    )
    max_seq_length: int | None = option(
        "longest input in tokens, which the export is checked with; default: as the model was trained, else 128",
        None,
        least=SHORTEST_INPUT,
    )
    engines: EngineOptions = EngineOptions()
    device: Device = option(WHERE, "auto", means=means)
    n_gpu: int | None = option("0 stands for `device` cpu, as in PaddleNLP's script", None)

    @property
    def compiled(self) -> tuple[str, ...]:
        """The precisions that engines are compiled in."""
        return self.engines.compiled(self.precision)

    @property
    def written(self) -> tuple[str, ...]:
        """The precisions of the files, of those that only engines need as well."""
        extra = () if "int8-static" not in self.compiled or HALF_STATIC in self.precision else (HALF_STATIC,)
        return (*self.precision, *extra)

    def problems(self) -> list[str]:
        found = []
        if not self.data.given:
            found += unused(self, ("text_columns", *LABEL_OPTIONS), "describes `train_file`; give that too")
        if not self.hugging_face:
            found += unused(self, ("transformers",), "is about `hugging_face`; give that too")
        static = [name for name in self.precision if name.startswith("int8-static") or name == NNCF]
        if not static:
            found += unused(self, ("calibration_sentences",), "is about `precision` int8-static; ask for that too")
        given = {"onnx": self.onnx, "fused": self.fused, "precision": set(self.precision) != {"fp32"}}
        given |= {"exit_policy": self.exit_policy is not None, "engine": self.engines.engine is not None}
        for name in (name for name, wanted in given.items() if wanted and not self.static_sub_model):
            found.append(f"`{name}` needs `static_sub_model`, the directory that the models go to")
        if static and not self.data.given:
            found.append(
                f"`precision` {static[0]} is calibrated on training sentences: say where they are with `task_name` or"
                " `data_dir`, or `train_file` with `dev_file` or `dev_share`; int8 needs none"
            )
        return found


@dataclass(frozen=True, kw_only=True)
class VocabularyJob:
    """What python -m ofa_bert vocabulary does: the tokens that texts need, for `trim_vocab`."""

    model_name_or_path: str = option("the model whose tokens they are: its directory, or a training's output_dir")
    model_type: str = model_type_option()
    texts: tuple[str, ...] = option(
        "files with texts of the kind that the model is for: .txt with one a line, or .tsv, .csv and .jsonl"
    )
    text_columns: tuple[str, ...] | None = option(
        "the columns of .tsv, .csv and .jsonl that hold texts; default: sentence1 sentence2, sentence, or text", None
    )
    output: str = option("file to write: one token a line, in the order of the model's vocabulary")
    least: int = option("keep the tokens that the texts have so often, or more often", 1, above=0)
    characters: bool = option(
        "also keep every token of a single character, so that words which these texts lack can still be spelled", False
    )

    def problems(self) -> list[str]:
        found = repeated("texts", self.texts)
        for path in self.texts:
            suffix = Path(path).suffix.lower()
            if suffix not in (PLAIN, *SUFFIXES):
                found.append(f"`texts` {path}: must end in {', '.join((PLAIN, *SUFFIXES))}")
        if self.text_columns and all(Path(path).suffix.lower() == PLAIN for path in self.texts):
            found.append(f"`text_columns` {' '.join(self.text_columns)}: {PLAIN} files have no columns; leave it out")
        return found
