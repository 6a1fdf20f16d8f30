"""What is killed while it writes: the primitives, and whatever is built of them."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from helpers.models import VOCABULARY
from robustness.kills import Job

OLD, NEW = ({"a": word, "b": word * 1000} for word in ("old", "new"))


def json_file(directory: Path, content: Any) -> None:
    from ofa_bert.files.atomic import write_json_atomic

    write_json_atomic(directory / "x.json", content)


def read_json_file(directory: Path) -> Any:
    from ofa_bert.files.reading import read_json

    return read_json(directory / "x.json")


def tree(directory: Path, content: dict[str, str]) -> None:
    from ofa_bert.files.atomic import MODEL_META, atomic_directory

    with atomic_directory(directory / "best") as new:
        (new / MODEL_META).write_text("{}")
        (new / "inside").mkdir()
        for name, text in content.items():
            (new / "inside" / name).write_text(text)


def read_tree(directory: Path) -> dict[str, str]:
    from ofa_bert.files.atomic import finish_replacement

    finish_replacement(directory / "best")
    return {path.name: path.read_text() for path in sorted((directory / "best" / "inside").iterdir())}


def kept(directory: Path, content: str) -> None:
    from ofa_bert.files.kept import keep_content

    keep_content(directory / "kept", content.encode())


def read_kept(directory: Path) -> str | None:
    from ofa_bert.files.kept import kept_content

    found = kept_content(directory / "kept")
    return None if found is None else found.decode()


def journal(directory: Path, records: str) -> None:
    from ofa_bert.files.journal import Journal

    made = Journal(directory / "log.jsonl", {"seed": 1})
    for key in records:
        if key not in made.records:
            made.add(key, {"loss": 0.5})


def read_journal(directory: Path) -> list[str]:
    from ofa_bert.files.journal import Journal

    return sorted(Journal(directory / "log.jsonl", {"seed": 1}).records)


def old_bundle(directory: Path) -> None:
    from helpers.full_manifest import write_bundle

    write_bundle(directory / "bundle", old=True)


def add_digests(directory: Path) -> None:
    from ofa_bert.bundle.add_digests import add_digests

    add_digests(directory / "bundle")


def has_digests(directory: Path) -> bool:
    from ofa_bert.bundle.manifest import open_bundle

    return open_bundle(directory / "bundle").manifest.has_digests


def model(directory: Path, seed: int) -> None:
    from helpers.foreign_files import tokenizer_for
    from helpers.models import build
    from ofa_bert.models.directories import save_model
    from ofa_bert.models.record import ModelRecord

    directory.mkdir(exist_ok=True)
    tokenizer = tokenizer_for(directory, "bert")
    save_model(directory / "best", build("bert", layers=2, seed=seed), tokenizer, ModelRecord(step=seed))


def read_model(directory: Path) -> list[Any]:
    from ofa_bert.models.directories import arrays_of, load_model

    found, _, record = load_model(directory / "best", "bert")
    return [record.step, digest_of(arrays_of(found))]


def digest_of(arrays: Any) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def checkpoint(directory: Path, steps: int) -> None:
    """A run of so many steps that saves after each, and goes on from what is there."""
    import paddle

    from ofa_bert.training.checkpoints import latest_checkpoint, restore_checkpoint, save_checkpoint
    from robustness.model_kinds import small_run

    layer, optimizer = small_run()
    latest = latest_checkpoint(directory)
    done = restore_checkpoint(latest, layer, optimizer)["step"] if latest else 0
    for step in range(int(done) + 1, steps + 1):
        layer(paddle.full([1, 3], float(step))).sum().backward()
        optimizer.step()
        optimizer.clear_grad()
        optimizer._learning_rate.step()
        save_checkpoint(directory, step, layer, optimizer, {"step": step})


def read_checkpoint(directory: Path) -> list[Any]:
    from ofa_bert.training.checkpoints import latest_checkpoint, load_checkpoint

    latest = latest_checkpoint(directory)
    assert latest is not None
    found = load_checkpoint(latest)
    return [found.state["step"], digest_of(found.weights), digest_of(found.moments)]


def bundle(directory: Path, seed: int) -> None:
    from helpers.foreign_files import tokenizer_for
    from helpers.models import build
    from ofa_bert.export.bundle import export_bundle
    from ofa_bert.models.encoder import shape_of
    from ofa_bert.models.record import ModelRecord
    from ofa_bert.models.supernet import whole
    from ofa_bert.tasks.task import Task

    directory.mkdir(exist_ok=True)
    made = build("bert", layers=1, seed=seed)
    task = Task("t", ("0", "1", "2"), ("accuracy",), ("text",))
    record = ModelRecord(task=task, shape=shape_of(made), sub_model=whole(made))
    export_bundle(made, tokenizer_for(directory, "bert"), record, directory / "bundle", 24, onnx=True)


def read_bundle(directory: Path) -> list[float]:
    import numpy as np

    from ofa_bert.runtime.predictor import Predictor

    with Predictor(directory / "bundle", backend="onnx_runtime", threads=1) as predictor:
        return np.round(predictor.predict(["a film is not good"])[0].probabilities, 5).tolist()


def task(directory: Path) -> None:
    """A data set, and a model to finetune."""
    from helpers.data_files import write_sentiment_tsv
    from helpers.directories import encoder_dir

    (directory / "data").mkdir(parents=True)
    for name, rows in (("train.tsv", 24), ("dev.tsv", 8)):
        write_sentiment_tsv(directory / "data" / name, rows)
    encoder_dir(directory / "model", layers=1, hidden=16, vocabulary=VOCABULARY)


def run(directory: Path) -> None:
    """A training of four steps with two checkpoints: all that a command writes, from its lock to its results."""
    import run_glue

    words = ["--model_name_or_path", directory / "model", "--task_name", "SST-2", "--data_dir", directory / "data"]
    words += ["--output_dir", directory / "out", *"--device cpu --max_seq_length 12 --batch_size 8".split()]
    words += "--max_steps 4 --save_steps 2 --logging_steps 9 --learning_rate 1e-3".split()
    assert run_glue.main([*map(str, words), "--resume"]) == 0


def read_run(directory: Path) -> list[Any]:
    """The weights that it ends with, which of them were best, and what its results say of them."""
    from ofa_bert.files.reading import read_object
    from ofa_bert.files.weights import read_weights

    found: list[Any] = []
    for name in ("best", "last"):
        path = directory / "out" / name
        found.append(digest_of(read_weights(path / "model.safetensors")) if path.is_dir() else None)
    results = directory / "out" / "results.json"
    told = read_object(results) if results.exists() else {}
    history = told.get("history") or []
    return [*found, [{name: row[name] for name in ("step", "scores")} for row in history]]


JOBS = {
    "json": Job(partial(json_file, content=OLD), partial(json_file, content=NEW), read_json_file),
    "directory": Job(partial(tree, content=OLD), partial(tree, content=NEW), read_tree),
    "directory without exchange": Job(
        partial(tree, content=OLD), partial(tree, content=NEW), read_tree, exchange=False
    ),
    "kept": Job(partial(kept, content="old"), partial(kept, content="new"), read_kept),
    "journal": Job(partial(journal, records="ab"), partial(journal, records="abcd"), read_journal, between=True),
    "digests": Job(old_bundle, add_digests, has_digests),
    "model": Job(partial(model, seed=1), partial(model, seed=2), read_model),
    "model without exchange": Job(partial(model, seed=1), partial(model, seed=2), read_model, exchange=False),
    "checkpoint": Job(partial(checkpoint, steps=1), partial(checkpoint, steps=2), read_checkpoint),
    "bundle": Job(partial(bundle, seed=1), partial(bundle, seed=2), read_bundle),
    "run": Job(task, run, read_run, between=True),
}
WITHOUT_PADDLE = ("json", "directory", "directory without exchange", "kept", "journal", "digests")
