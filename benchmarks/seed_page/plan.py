"""The steps that make the tables: which command, where its result goes, and whether that is there and whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seed_page import figures, results

FULL, COMPRESSED = "full", "width-2-3"  # the two bundles, by the names of their directories


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the numbers: the same in every run into one directory."""

    data_dir: str | None
    finetune_epochs: float
    finetune_learning_rate: float
    finetune_save_steps: int
    supernet_epochs: float
    supernet_learning_rate: float
    supernet_save_steps: int
    batch_size: int
    max_seq_length: int
    amp: str
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is to be made, and where it runs. models: name or directory, by the name that the tables have."""

    models: dict[str, str]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    device: str
    gpu_latency: bool


@dataclass(frozen=True)
class Run:
    """One start of one task: a finetuning and a supernet."""

    model: str
    task: str
    seed: int

    def directory(self, output: Path) -> Path:
        return output / self.model / figures.DIRECTORIES[self.task] / f"seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.model}, {figures.DIRECTORIES[self.task]}, seed {self.seed}"


@dataclass(frozen=True)
class Step:
    """One command. may_fail: the tables say so and go on. unless: where that is whole, this is not wanted."""

    title: str
    words: tuple[str, ...]
    place: Path
    whole: Callable[[], bool]
    run: Run | None = None
    may_fail: bool = False
    unless: Callable[[], bool] = lambda: False


def runs(choice: Choice) -> Iterator[Run]:
    for model in choice.models:
        for task in choice.tasks:
            for seed in choice.seeds:
                yield Run(model, task, seed)


def steps(choice: Choice, settings: Settings, output: Path) -> Iterator[Step]:
    """In order; latency comes right after the first supernet of a model, since its numbers decide nothing about it."""
    timed: set[str] = set()
    for run in runs(choice):
        yield from _training(run, choice, settings, output)
        if run.model not in timed:
            timed.add(run.model)
            yield from _exports(run, choice, settings, output)
            yield from _benches(run.model, choice, settings, output)


def _training(run: Run, choice: Choice, settings: Settings, output: Path) -> Iterator[Step]:
    directory = run.directory(output)
    finetuned, supernet = directory / "finetune", directory / "supernet"
    yield Step(
        f"{run}: finetune",
        (
            "finetune", "--model_name_or_path", choice.models[run.model], "--output_dir", str(finetuned),
            *_shared(run, choice, settings), "--num_train_epochs", str(settings.finetune_epochs),
            "--learning_rate", str(settings.finetune_learning_rate),
            "--save_steps", str(settings.finetune_save_steps), "--resume",
        ),
        finetuned, lambda: results.finetuned(finetuned, run.task) is not None, run,
    )  # fmt: skip
    yield Step(
        f"{run}: supernet",
        (
            "supernet", "--model_name_or_path", str(finetuned), "--output_dir", str(supernet),
            *_shared(run, choice, settings), "--num_train_epochs", str(settings.supernet_epochs),
            "--learning_rate", str(settings.supernet_learning_rate),
            "--save_steps", str(settings.supernet_save_steps), "--width_mult_list", *figures.WIDTHS, "--resume",
        ),
        supernet, lambda: results.supernet(supernet, run.task) is not None, run,
    )  # fmt: skip


def _shared(run: Run, choice: Choice, settings: Settings) -> Sequence[str]:
    data = [] if settings.data_dir is None else ["--data_dir", str(data_directory(settings.data_dir, run.task))]
    return [
        "--task_name", figures.DIRECTORIES[run.task], *data, "--batch_size", str(settings.batch_size),
        "--max_seq_length", str(settings.max_seq_length), "--seed", str(run.seed), "--device", choice.device,
        "--amp", settings.amp,
    ]  # fmt: skip


def data_directory(root: str, task: str) -> Path:
    return Path(root) / figures.DIRECTORIES[task]


def _exports(run: Run, choice: Choice, settings: Settings, output: Path) -> Iterator[Step]:
    for name, width in ((FULL, "1.0"), (COMPRESSED, figures.WIDTH)):
        bundle = bundle_directory(output, run.model, name)
        yield Step(
            f"{run.model}: export {name}",
            (
                "export", "--model_name_or_path", str(run.directory(output) / "supernet" / "last"),
                "--sub_model_output_dir", f"{bundle}-dynamic", "--static_sub_model", str(bundle),
                "--width_mult", width, "--onnx", "--precision", "fp32", "fp16", "--fused",
                "--max_seq_length", str(settings.max_seq_length), "--device", choice.device,
            ),
            bundle, lambda bundle=bundle: results.is_bundle(bundle),
        )  # fmt: skip


def bundle_directory(output: Path, model: str, name: str) -> Path:
    return output / model / "exported" / name


def bench_directory(output: Path, model: str, name: str) -> Path:
    return output / model / "latency" / name


# Where a latency is measured -> what bench is told. A GPU's FP16 is TensorRT's, else ONNX Runtime's own.
CPU, GPU, TENSORRT, CUDA_FP16 = "cpu-fp32", "gpu-fp32", "gpu-fp16-tensorrt", "gpu-fp16-cuda"
BENCHES = {
    GPU: ("--device", "gpu", "--provider", "cuda", "--precisions", "fp32"),
    TENSORRT: ("--device", "gpu", "--provider", "tensorrt", "--precisions", "fp16"),
    CUDA_FP16: ("--device", "gpu", "--provider", "cuda", "--precisions", "fp16"),
    CPU: ("--device", "cpu", "--precisions", "fp32"),
}


def _benches(model: str, choice: Choice, settings: Settings, output: Path) -> Iterator[Step]:
    bundles = [str(bundle_directory(output, model, name)) for name in (FULL, COMPRESSED)]

    def is_whole(name: str) -> bool:
        return results.latencies(bench_directory(output, model, name)).whole((FULL, COMPRESSED))

    for name in BENCHES if choice.gpu_latency else (CPU,):
        place = bench_directory(output, model, name)
        yield Step(
            f"{model}: latency {name}",
            (
                "bench", "--bundles", *bundles, "--output_dir", str(place), "--backends", "onnx_runtime",
                *BENCHES[name], "--batch", *map(str, figures.BATCHES), "--length", str(settings.max_seq_length),
                "--repeats", str(settings.repeats),
            ),
            place, lambda name=name: is_whole(name), may_fail=True,
            unless=(lambda: is_whole(TENSORRT)) if name == CUDA_FP16 else lambda: False,
        )  # fmt: skip
