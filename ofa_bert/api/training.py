"""Everything that trains, as functions of a job: Paddle is loaded when one is called, not before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ofa_bert.api.begin import checked, training
from ofa_bert.tasks.task import Datasets
from ofa_bert.training import early
from ofa_bert.training.exits.jobs import ExitChoiceJob, ExitTrainingJob
from ofa_bert.training.recorded import as_recorded, length_of, with_data, with_length
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.students.jobs import DistilJob, PruneJob
from ofa_bert.training.supernet.job import SupernetJob

if TYPE_CHECKING:
    from ofa_bert.training.exits.choice_report import ExitChoice
    from ofa_bert.training.exits.train import ExitResults
    from ofa_bert.training.finetune import FinetuneResults
    from ofa_bert.training.students.prune import PruneResults
    from ofa_bert.training.students.train import DistilResults
    from ofa_bert.training.supernet.train import SupernetResults


def finetune(
    job: FinetuneJob, datasets: Datasets | None = None, observe: Callable[[int, float], None] | None = None
) -> FinetuneResults:
    """Train a pretrained encoder on the labels of a task; best/ in the output directory is the best on dev.

    datasets: the examples; left out, those that the job names.
    observe: hears of every evaluation (step, score), and ends the run by raising.

    Returns what results.json says: "best" and "last", each with "step" and "scores", which are fractions by metric.

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.

    >>> from ofa_bert import FinetuneJob, finetune, load_datasets, make_job
    >>> datasets = load_datasets(train_file="train.tsv", dev_file="dev.tsv")
    >>> job = make_job(FinetuneJob, model_name_or_path="bert-tiny", output_dir="teacher", max_seq_length=16,
    ...                learning_rate=1e-3, num_train_epochs=2, train_file="train.tsv", dev_file="dev.tsv", device="cpu")
    >>> results = finetune(job, datasets)
    >>> 0.0 <= results["best"]["scores"]["accuracy"] <= 1.0
    True
    """
    job = checked(job, FinetuneJob, datasets)
    job = replace(job, loop=with_length(job.loop, job.model.model_name_or_path))
    with training(job.data, job.loop.device, datasets, early.finetuning(job), job.output_dir) as examples:
        from ofa_bert.training.finetune import finetune as run

        return run(job, examples) if observe is None else run(job, examples, observe)


def train_supernet(job: SupernetJob, datasets: Datasets | None = None) -> SupernetResults:
    """Sort heads and neurons of a finetuned model by importance, then distil it into all its sub-models.

    datasets: the examples; left out, those that the job names.

    Returns what results.json says: "teacher" has scores by
    metric, as fractions; "best" and "last" have a row for each sub-model, with its "name", "scores", "parameters" and
    "flops" (for 128 tokens).

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.
    Source: DynaBERT (arXiv 2004.04037), and PaddleSlim's once-for-all flow for BERT.

    >>> from ofa_bert import SupernetJob, make_job, train_supernet
    >>> job = make_job(SupernetJob, model_name_or_path="teacher", output_dir="supernet", width_mult_list=[1.0, 0.5],
    ...                train_file="train.tsv", dev_file="dev.tsv", max_seq_length=16, max_steps=20, device="cpu")
    >>> results = train_supernet(job)
    >>> [row["name"] for row in results["last"]]
    ['w1_d1', 'w0.5_d1']
    """
    job = as_recorded(checked(job, SupernetJob, datasets), job.model.model_name_or_path, datasets)
    with training(job.data, job.loop.device, datasets, early.supernet(job), job.output_dir) as examples:
        from ofa_bert.training.supernet.train import train_supernet as run

        return run(job, examples)


def train_exits(job: ExitTrainingJob, datasets: Datasets | None = None) -> ExitResults:
    """Train a classifier after every layer of a model or supernet, so that easy texts are answered early.

    datasets: the examples; left out, those that the job names.

    Returns what results.json says: "best" is the best on
    the held-out part of train, with its "step" and its "scores": the scores on dev of every exit of every sub-model.

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.
    Source: DeeBERT (arXiv 2004.12993), GEEP, PABEE (arXiv 2006.04152) and BERxiT, by the job's `exits`.

    >>> from ofa_bert import ExitTrainingJob, make_job, train_exits
    >>> job = make_job(ExitTrainingJob, exits="deebert", model_name_or_path="teacher", output_dir="exits",
    ...                train_file="train.tsv", dev_file="dev.tsv", max_seq_length=16, max_steps=20, device="cpu")
    >>> results = train_exits(job)
    >>> results["exits"]["layers"]
    [0, 1, 2]
    """
    job = as_recorded(checked(job, ExitTrainingJob, datasets), job.model.model_name_or_path, datasets)
    with training(job.data, job.loop.device, datasets, early.exits(job), job.output_dir) as examples:
        from ofa_bert.training.exits.train import train_exits as run

        return run(job, examples)


def choose_exits(job: ExitChoiceJob, datasets: Datasets | None = None) -> ExitChoice:
    """Choose the threshold of early exits on the part of train that training held out, and report it on dev.

    datasets: the examples; left out, those that the job names.

    Returns what exits.json says; "chosen" has the
    "policy", "held_out" what the sweep found there, "dev" the scores without exits and with the chosen ones.

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.

    >>> from ofa_bert import ExitChoiceJob, choose_exits, make_job
    >>> job = make_job(ExitChoiceJob, model_name_or_path="exits", output_dir="policy", thresholds=3, timing_samples=16,
    ...                train_file="train.tsv", dev_file="dev.tsv", device="cpu")
    >>> results = choose_exits(job)
    >>> "policy" in results["chosen"]
    True
    """
    job = checked(job, ExitChoiceJob, datasets)
    job = with_data(job, job.model_name_or_path) if datasets is None else job
    with training(job.data, job.device, datasets, None) as examples:
        from ofa_bert.training.exits.threshold import choose_exits as run

        return run(job, examples)


def distil(job: DistilJob, datasets: Datasets | None = None) -> DistilResults:
    """Train a small student on what a finetuned teacher answers; best/ is the best on dev.

    datasets: the examples; left out, those that the job names.

    Returns what results.json says: "teacher" has scores on
    dev by metric, "best" the student's, "parameters" and "teacher_parameters" are counts.

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.
    Source: FastFormers (arXiv 2010.13382) for the losses and their weights.

    >>> from ofa_bert import DistilJob, distil, make_job
    >>> job = make_job(DistilJob, teacher="teacher", student="2,4,32,64", output_dir="student", device="cpu",
    ...                train_file="train.tsv", dev_file="dev.tsv", max_seq_length=16, max_steps=20)
    >>> results = distil(job)
    >>> results["parameters"] < results["teacher_parameters"]
    True
    """
    job = as_recorded(checked(job, DistilJob, datasets), job.pair.teacher, datasets)
    check = early.distilling(job.pair, job.loop)
    with training(job.data, job.loop.device, datasets, check, job.output_dir) as examples:
        from ofa_bert.training.students.train import distil as run

        return run(job, examples)


def prune(job: PruneJob, datasets: Datasets | None = None) -> PruneResults:
    """Keep the most important heads and FFN neurons of every layer, measured on held-out training data.

    Nothing is trained: distil into the result afterwards.

    datasets: the examples; left out, those that the job names.

    Returns what results.json says: scores on dev "before" and "after", "parameters_before" and "parameters".

    Raises UserError for a job, data, model or device that cannot work, RunError when the run fails.

    >>> from ofa_bert import PruneJob, make_job, prune
    >>> job = make_job(PruneJob, model_name_or_path="student", target_num_heads=2, target_ffn_dim=32, device="cpu",
    ...                output_dir="pruned", train_file="train.tsv", dev_file="dev.tsv", max_seq_length=16)
    >>> results = prune(job)
    >>> results["sub_model"]["heads"]
    [2, 2]
    """
    job = checked(job, PruneJob, datasets)
    job = with_data(job, job.model_name_or_path) if datasets is None else job
    job = replace(job, max_seq_length=job.max_seq_length or length_of(job.model_name_or_path))
    with training(job.data, job.device, datasets, early.pruning(job)) as examples:
        from ofa_bert.training.students.prune import prune as run

        return run(job, examples)
