"""What python -m ofa_bert evaluate does, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.data.labelled_file import LabelledData
from ofa_bert.models.families.registry import model_type_option
from ofa_bert.models.sub_model_choice import SubModelChoice
from ofa_bert.options import option, unused
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.runtime.backends.registry import OF_MODELS
from ofa_bert.system.accelerator import ENGINE_DEVICES, means

_OF_BUNDLES = ("backend", "precision", "exit_threshold")
_OF_MODELS = ("width_mult", "depth_mult", "sub_model", "allow_untrained", "model_type", "max_seq_length")


@dataclass(frozen=True, kw_only=True)
class BundleRun:
    """How a bundle is run."""

    backend: str = option(
        "of a bundle: library that computes; auto takes the first that is installed and has a file in it",
        "auto",
        choices=("auto", *OF_MODELS),
    )
    precision: str = option("of a bundle: what to compute in", "fp32", choices=PRECISIONS)
    exit_threshold: str | None = option(
        "of a bundle with exits: policy takes the threshold that was exported with it; or a number", None
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """What `evaluate` and python -m ofa_bert evaluate do: a model, or a bundle, on labelled data.

    >>> from ofa_bert import EvaluateJob, make_job
    >>> job = make_job(EvaluateJob, model_name_or_path="supernet", width_mult=0.5, file="dev.tsv")
    >>> job.choice.width_mult, job.batch_size
    (0.5, 64)
    """

    model_name_or_path: str | None = option(
        "a finetuned model, a supernet, a sub-model, or a classifier from elsewhere: its directory", None
    )
    bundle: str | None = option(
        "or a bundle: directory that export_model.py `static_sub_model` wrote; needs no Paddle", None
    )
    data: LabelledData = LabelledData()
    choice: SubModelChoice = SubModelChoice()
    run: BundleRun = BundleRun()
    model_type: str = model_type_option()
    max_seq_length: int | None = option("tokens per example, longer ones are cut; default: as trained", None, least=3)
    batch_size: int = option("examples computed together", 64, above=0)
    beside: str | None = option(
        "another model's directory, or bundle, that is scored on the same data: what it gets wrong that this one does"
        " not, and whether chance may have done it",
        None,
    )
    beside_precision: str = option("of `beside`, where it is a bundle: what to compute in", "fp32", choices=PRECISIONS)
    output: str | None = option("file for the scores, JSON", None)
    output_dir: str | None = option(
        "where scores.json, pictures (which labels are taken for which, how sure answers are) and tables of the"
        " examples that are answered wrongly go",
        None,
    )
    device: str = option("where to run; cuda: the same as gpu", "cpu", choices=ENGINE_DEVICES, means=means)

    def problems(self) -> list[str]:
        if (self.model_name_or_path is None) == (self.bundle is None):
            return ["say what is evaluated: `model_name_or_path` or `bundle`, one of them"]
        found = [] if self.beside else unused(self, ("beside_precision",), "is about `beside`; give that too")
        if self.bundle is None:
            return found + unused(self, _OF_BUNDLES, "is about a `bundle`; leave it out")
        return found + unused(self, _OF_MODELS, "is about `model_name_or_path`; a bundle has it all inside")
