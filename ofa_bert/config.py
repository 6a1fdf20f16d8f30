"""Every command's flags and what they must satisfy together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Optional

from ofa_bert.options import multipliers, not_negative, number, option, positive, whole

DEVICES = ("gpu", "cpu", "xpu")
# Families whose encoder is paddle.nn.TransformerEncoder, whose layers the supernet slices.
MODEL_TYPES = ("bert", "ernie", "roberta", "tinybert")
WIDTHS = (1.0, 5 / 6, 2 / 3, 0.5)
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "int8-static")


@dataclass(frozen=True)
class DataConfig:
    """Where sentences come from."""

    task_name: Optional[str] = option(
        "GLUE task (CoLA, SST-2, MRPC, STS-B, QQP, MNLI, QNLI, RTE, WNLI; any case), or 'demo' for the built-in one;"
        " leave it out with --train_file",
        None,
    )
    data_dir: Optional[str] = option(
        "directory with the task's official GLUE files (train.tsv, dev.tsv); without it PaddleNLP downloads them", None
    )
    train_file: Optional[str] = option("your own training data: .tsv, .csv or .jsonl", None)
    dev_file: Optional[str] = option("your own development data, same format", None)
    text_columns: Optional[tuple] = option(
        "names of the one or two text columns of your own data; default: sentence1 sentence2, sentence, or text",
        None,
        many=True,
    )
    label_column: Optional[str] = option(
        "name of the label column of your own data, classes or numbers; default: label", None
    )

    label_kind: str = option(
        "whether your own labels are classes or numbers to predict; auto looks at them",
        "auto",
        choices=("auto", "classes", "numbers"),
    )

    def problems(self) -> list[str]:
        problems = []
        own = self.train_file or self.dev_file
        if not self.task_name and not own:
            problems.append("say what to train on: --task_name (a GLUE task or demo), or --train_file with --dev_file")
        if own and not (self.train_file and self.dev_file):
            problems.append("--train_file and --dev_file go together")
        if self.data_dir and (own or not self.task_name):
            problems.append("--data_dir holds a GLUE task's files: it needs --task_name and excludes --train_file")
        if not own and (self.text_columns or self.label_column or self.label_kind != "auto"):
            problems.append("--text_columns, --label_column and --label_kind describe --train_file and --dev_file")
        if self.text_columns and len(self.text_columns) > 2:
            problems.append(f"--text_columns {' '.join(self.text_columns)}: one or two columns")
        return problems

    def data_arguments(self) -> dict[str, Any]:
        """The fields that say where sentences come from, as `sources.load_datasets` takes them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(DataConfig)}
        regression = {"auto": None, "classes": False, "numbers": True}[values.pop("label_kind")]
        return {**values, "regression": regression}


@dataclass(frozen=True)
class LoopConfig:
    """What `train.fit` and its optimizer are told, whatever is trained."""

    max_seq_length: int = option("tokens per example, longer ones are cut", 128, whole)
    batch_size: int = option("examples per step and process", 32, whole)
    gradient_accumulation_steps: int = option("batches per optimizer step", 1, whole)
    learning_rate: float = option("peak learning rate", 5e-5, number)
    weight_decay: float = option("AdamW weight decay; not applied to biases and LayerNorms", 0.0, number)
    adam_epsilon: float = option("AdamW epsilon", 1e-8, number)
    max_grad_norm: float = option("gradients are clipped to this global norm; 0 switches clipping off", 1.0, number)
    num_train_epochs: float = option("passes over the training data", 3.0, number)
    max_steps: int = option("optimizer steps; above 0 it overrides --num_train_epochs", -1, whole)
    warmup_steps: int = option("steps of linear warm-up; above 0 it overrides --warmup_proportion", 0, whole)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.1, number)
    logging_steps: int = option("log the loss every N steps", 100, whole)
    save_steps: int = option("evaluate and write a checkpoint every N steps", 500, whole)
    seed: int = option("seed of everything random", 42, whole)
    device: str = option("where to run", "gpu", choices=DEVICES)
    amp: str = option("mixed precision, on a GPU", "off", choices=("off", "bf16", "fp16"))
    resume: bool = option("continue from the newest whole checkpoint in --output_dir", False, bool)

    def loop_problems(self) -> list[str]:
        found = positive(
            self, "batch_size", "gradient_accumulation_steps", "learning_rate", "num_train_epochs", "adam_epsilon",
            "logging_steps", "save_steps",
        )  # fmt: skip
        found += not_negative(self, "weight_decay", "max_grad_norm", "warmup_steps", "seed")
        if self.max_seq_length < 3:
            found.append(f"--max_seq_length {self.max_seq_length}: must be at least 3, room for one word and two marks")
        if not 0 <= self.warmup_proportion < 1:
            found.append(f"--warmup_proportion {self.warmup_proportion}: must be at least 0 and below 1")
        if self.amp != "off" and self.device == "cpu":
            found.append(f"--amp {self.amp}: needs --device gpu; leave it out on a CPU")
        return found


@dataclass(frozen=True)
class ModelConfig(DataConfig):
    """A model to train on a task, and where the outcome goes."""

    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    model_name_or_path: str = option("a PaddleNLP model name, or a local directory (PaddleNLP or Hugging Face layout)")
    tokenizer_name_or_path: Optional[str] = option("another place for the tokenizer; default: the model's", None)
    output_dir: str = option("where best/, last/ and checkpoints go")


@dataclass(frozen=True)
class TrainConfig(LoopConfig, ModelConfig):  # the model's flags come first in --help
    """What finetuning and supernet training share."""

    def problems(self) -> list[str]:
        return super().problems() + self.loop_problems()


@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """run_glue.py. Defaults as PaddleNLP's script."""

    learning_rate: float = option("peak learning rate", 1e-4, number)
    adam_epsilon: float = option("AdamW epsilon", 1e-6, number)
    save_steps: int = option("evaluate and write a checkpoint every N steps", 100, whole)
    held_out_share: float = option(
        "share of the training data that is not trained on, at most 1024 examples: those that run_glue_ofa.py holds out"
        " with the same seed and share, so that exit thresholds are chosen on sentences new to the model",
        0.0,
        number,
    )

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be at least 0 and below 1")
        return found


@dataclass(frozen=True)
class OfaConfig(TrainConfig):
    """run_glue_ofa.py. Defaults as PaddleNLP's script."""

    batch_size: int = option("examples per step and process", 8, whole)
    warmup_proportion: float = option("share of all steps spent on linear warm-up", 0.0, number)
    logging_steps: int = option("log the loss every N steps", 500, whole)
    width_mult_list: tuple = option("widths: share of heads and FFN neurons kept", WIDTHS, number, many=True)
    depth_mult_list: tuple = option("depths: share of layers kept", (1.0,), number, many=True)
    lambda_logit: float = option("weight of the logit loss against the teacher", 1.0, number)
    lambda_rep: float = option("weight of the hidden-state loss against the teacher", 0.1, number)
    layer_choice: str = option(
        "which layers a depth below 1 keeps: evenly spaced, or those whose loss on the held-out part hurts most",
        "even",
        choices=("even", "importance"),
    )
    stages: str = option(
        "'joint' trains every width and depth together; 'width,width_depth' first the widths, then all (DynaBERT)",
        "joint",
        choices=("joint", "width,width_depth"),
    )
    width_stage_share: float = option("share of the steps that the width stage of --stages gets", 0.5, number)
    sandwich: int = option(
        "train the largest, the smallest and N sub-models drawn anew each step; -1 trains all of them in every step",
        -1,
        whole,
    )
    supernet_dropout: Optional[float] = option(
        "dropout while the supernet trains; default: the model's own", None, number
    )
    held_out_share: float = option(
        "share of the training data held out to measure importance on, never trained on, at most 1024 examples",
        0.05,
        number,
    )
    keep_best_sub_models: bool = option(
        "also keep the best weights of every single sub-model in best_<name>/", False, bool
    )

    def problems(self) -> list[str]:
        found = super().problems()
        found += multipliers(self, "width_mult_list", "depth_mult_list", "width_stage_share")
        found += not_negative(self, "lambda_logit", "lambda_rep")
        if not 0 < self.held_out_share < 1:
            found.append(f"--held_out_share {self.held_out_share}: must be above 0 and below 1")
        if not self.lambda_logit and not self.lambda_rep:
            found.append("--lambda_logit 0 with --lambda_rep 0 leaves no loss; give one of them")
        if self.supernet_dropout is not None and not 0 <= self.supernet_dropout < 1:
            found.append(f"--supernet_dropout {self.supernet_dropout}: must be at least 0 and below 1")
        if self.stages != "joint" and max(self.depth_mult_list, default=1) == min(self.depth_mult_list, default=1):
            found.append(f"--stages {self.stages}: needs depths below 1 in --depth_mult_list")
        return found


@dataclass(frozen=True)
class ExportConfig(DataConfig):
    """export_model.py. Flags as PaddleNLP's script, --device, which its README promises, and deployment's own."""

    model_name_or_path: str = option("output directory of run_glue_ofa.py, or its best/ or last/")
    sub_model_output_dir: str = option("where the dynamic sub-model goes; it reloads and can be finetuned further")
    model_type: str = option("model family, one with a paddle.nn.TransformerEncoder", "bert", choices=MODEL_TYPES)
    static_sub_model: Optional[str] = option(
        "where the static model goes, ready to deploy; left out: none is made", None
    )
    width_mult: float = option("share of heads and FFN neurons to keep", 1.0, number)
    depth_mult: float = option("share of layers to keep", 1.0, number)
    sub_model: Optional[str] = option(
        "JSON file with a SubModelConfig (uneven layers), instead of the two multipliers", None
    )
    allow_untrained: bool = option("export a width or depth that the supernet was not trained for", False, bool)
    onnx: bool = option("write model.onnx beside the static model", False, bool)
    precision: tuple = option(
        "precisions to write, several at once; fp32 always is. fp16: ONNX for GPUs. bf16: model.onnx in OpenVINO."
        " int8: ONNX for CPUs, activations quantized as they come. int8-static: activations quantized by scales from"
        " training sentences (needs data), for Paddle Inference, OpenVINO and TensorRT",
        ("fp32",),
        many=True,
        choices=PRECISIONS,
    )
    fused: bool = option(
        "also write ONNX graphs of ONNX Runtime's own operators (fused attention), for its CUDA provider, in fp32 and,"
        " if asked for, fp16",
        False,
        bool,
    )
    max_drop: float = option(
        "points of dev score that a precision may lose; more fails the command. Without data no score is measured",
        1.0,
        number,
    )
    calibration_sentences: int = option("training sentences that fix the scales of int8-static", 256, whole)
    trim_vocab: Optional[str] = option(
        "file with one token a line: only the embeddings of these tokens and of the special ones are kept", None
    )
    exit_policy: Optional[str] = option(
        "for a model with exits: output of python -m ofa_bert exits, whose threshold goes into the static model's"
        " directory",
        None,
    )
    max_seq_length: int = option("longest input in tokens that the export is checked with", 128, whole)
    device: str = option("where to run", "gpu", choices=DEVICES)
    n_gpu: Optional[int] = option("0 stands for --device cpu, as in PaddleNLP's script", None, whole)

    def has_data(self) -> bool:
        return bool(self.task_name or self.data_dir or self.train_file or self.dev_file)

    def problems(self) -> list[str]:
        found = multipliers(self, "width_mult", "depth_mult")
        found += positive(self, "max_seq_length", "calibration_sentences") + not_negative(self, "max_drop")
        if self.has_data():
            # The model knows its task: beside --data_dir the name may be left out.
            named = dataclasses.replace(self, task_name=self.task_name or (self.data_dir and "the model's"))
            found += DataConfig.problems(named)
        if self.sub_model and (self.width_mult != 1.0 or self.depth_mult != 1.0):
            found.append("--sub_model and --width_mult/--depth_mult exclude each other")
        given = {"--onnx": self.onnx, "--fused": self.fused, "--precision": set(self.precision) != {"fp32"}}
        given["--exit_policy"] = self.exit_policy
        for flag in (flag for flag, wanted in given.items() if wanted and not self.static_sub_model):
            found.append(f"{flag} needs --static_sub_model, the directory that the models go to")
        if "int8-static" in self.precision and not self.has_data():
            found.append(
                "--precision int8-static is calibrated on training sentences: say where they are with --task_name or"
                " --data_dir, or --train_file and --dev_file; int8 needs none"
            )
        return found


@dataclass(frozen=True)
class DemoConfig:
    """python -m ofa_bert demo."""

    output_dir: str = option("where models and bundles go; a second run continues there", "output/demo")
    device: str = option("where to run", "cpu", choices=DEVICES)

    def problems(self) -> list[str]:
        return []
