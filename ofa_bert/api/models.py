"""What is done with trained models, as functions: Paddle is loaded when one is called, not before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ofa_bert.api.begin import checked, on_device, told_what_to_install
from ofa_bert.errors import UserError
from ofa_bert.export.early import check_export
from ofa_bert.export.job import ExportJob
from ofa_bert.recipes.evaluate_job import EvaluateJob
from ofa_bert.search.early import check_search
from ofa_bert.search.job import SearchJob
from ofa_bert.system import packages
from ofa_bert.tasks.task import Task

if TYPE_CHECKING:
    from paddle import nn

    from ofa_bert.data.tokenization.text_tokenizer import Cutter
    from ofa_bert.models.record import ModelRecord
    from ofa_bert.recipes.evaluate import Scored
    from ofa_bert.search.fptas.run import FptasResults
    from ofa_bert.search.run import SearchResults


def load_model(
    name_or_path: str | Path, model_type: str = "auto", num_labels: int | None = None, *, task: Task | None = None
) -> tuple[nn.Layer, Cutter, ModelRecord]:
    """(model, tokenizer, record) from a directory in PaddleNLP's or Hugging Face's layout, or a PaddleNLP model name.

    An output directory of `finetune` and of the others stands for its best/. The model is a stock PaddleNLP model in
    float32 and in training mode; called with int64 `input_ids` and `token_type_ids` [B, T] it gives float32 logits
    [B, C].

    model_type: the family: bert, ernie, roberta, tinybert or electra; auto: what the model says.
    num_labels: outputs of a classifier that starts at random values where the source has none; left out, the source
    must be complete.
    task: its order of the classes is given to a classifier from elsewhere.

    Raises UserError for anything that does not fit: files, model type, sizes, names or shapes of weights, vocabulary.

    >>> import paddle
    >>> from ofa_bert import load_model
    >>> model, tokenizer, record = load_model("teacher")
    >>> model.eval()
    >>> ids = tokenizer(["the film was good"])
    >>> model(paddle.to_tensor(ids["input_ids"]), paddle.to_tensor(ids["token_type_ids"])).shape
    [1, 2]
    """
    with told_what_to_install():
        packages.require("paddle")
        packages.require("paddlenlp")
        from ofa_bert.models import directories, record

        return directories.load_model(record.best_of(str(name_or_path)), model_type, num_labels, task=task)


def export_sub_model(job: ExportJob) -> Mapping[str, object]:
    """Write a sub-model as a dynamic model and, where the job says so, as a bundle that is checked against it.

    Returns what was written: "dynamic" and "static" directories, "sub_model", "parameters", "flops" of a text of 128
    tokens, "scores" on dev where they are known, and "models", the files of the bundle each with its check.

    Raises UserError for a job or a model that cannot be exported, RunError when an export does not match its model.

    >>> from ofa_bert import ExportJob, export_sub_model, make_job
    >>> job = make_job(ExportJob, model_name_or_path="supernet", width_mult=0.5, max_seq_length=16, device="cpu",
    ...                sub_model_output_dir="small", static_sub_model="small-bundle", onnx=True)
    >>> summary = export_sub_model(job)
    >>> [model.name for model in summary["models"]]
    ['paddle-fp32', 'onnx-fp32']
    """
    job = checked(job, ExportJob)
    check_export(job)
    with on_device("cpu" if job.n_gpu == 0 else job.device):
        from ofa_bert.export.sub_model import deploy

        return deploy(job)


def search_sub_models(job: SearchJob) -> SearchResults:
    """Search a supernet for its best sub-model under a budget, each layer with a width of its own (NSGA-II).

    Nothing is trained. Written are front.json (see Front), the winner's sub-model and results.json, whose content is
    returned: "winner", "comparison" with the sub-models that training chose, "cost". The same job resumes.

    A job with `speedups` gives a family instead of the winner: in "family" a row for each of these speeds, with its
    measured speed, score, the interval of its difference from the "full" model and the directory of its bundle.

    Raises UserError for a job, supernet, latency table or device that cannot work, RunError when the search fails.

    >>> from ofa_bert import Front, SearchJob, make_job, search_sub_models
    >>> job = make_job(SearchJob, model="supernet", output_dir="search", max_params=30000, trials=8, population=4,
    ...                examples=8, device="cpu")
    >>> results = search_sub_models(job)
    >>> Front.load("search/front.json").cost
    'parameters'
    """
    job = _search(job, "nsga2", "search_sub_models")
    if job.worker:
        raise UserError("`worker`: only adds trials to the search of another process, and has no results")
    check_search(job.source, job.modes, job.space, job.wanted.limits(), job.precision, job.wanted.family.speedups)
    with on_device(job.device):
        from ofa_bert.search.run import search_sub_models as run

        results = run(job)
    assert results is not None  # as only a worker's is
    return results


def search_fptas(job: SearchJob) -> FptasResults:
    """Rank the shapes of a supernet's sub-models by the W-coefficient, evaluating every `epsilon`-th one.

    Returns what results.json says: "winner", and in "records" every evaluation with its latency or operations, size,
    error and W. Raises UserError for a job, supernet or device that cannot work, RunError when the search fails.
    Source: Bort (arXiv 2010.10499), section 3.

    >>> from ofa_bert import SearchJob, make_job, search_fptas
    >>> job = make_job(SearchJob, model="supernet", output_dir="fptas", algorithm="fptas", examples=8, heads=[2, 4],
    ...                ffn=[32, 64], device="cpu")
    >>> results = search_fptas(job)
    >>> results["evaluated"] == results["candidates"]
    True
    """
    job = _search(job, "fptas", "search_fptas")
    with on_device(job.device):
        from ofa_bert.search.fptas.run import search_fptas as run

        return run(job)


def _search(job: SearchJob, algorithm: str, function: str) -> SearchJob:
    """The job, checked. UserError for one that the other function is for."""
    job = checked(job, SearchJob)
    if job.algorithm != algorithm:
        other = "search_fptas" if job.algorithm == "fptas" else "search_sub_models"
        raise UserError(f"`algorithm` {job.algorithm}: {function} is for {algorithm}; call {other}")
    return job


def evaluate(job: EvaluateJob) -> Scored:
    """Score a model, a sub-model of a supernet, or a bundle (which needs no Paddle) on labelled data.

    Returns the `task`, `what` was scored, and `splits`, each with its number of `examples`, its `scores` by metric as
    fractions, and precision, recall and F1 of every label in `labels`; `beside` says how another model did.

    Raises UserError for a job, model or data that cannot work.

    >>> from ofa_bert import EvaluateJob, evaluate, make_job
    >>> found = evaluate(make_job(EvaluateJob, bundle="bundle", file="dev.tsv"))
    >>> found.splits[0].examples, list(found.splits[0].scores)[:2]
    (4, ['accuracy', 'balanced_accuracy'])
    """
    job = checked(job, EvaluateJob)
    with on_device(None if job.bundle is not None else job.device):
        from ofa_bert.recipes.evaluate import evaluate as run

        return run(job)
