"""Model directories and checkpoints: what Paddle is needed to read."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers import foreign_files, mutations
from helpers.models import VOCABULARY
from robustness.kind import SHAPE, TASK, FileKind


def model_directory(directory: Path, damaged: str) -> Path:
    """A Hugging Face classifier of two layers, with what this package writes beside it."""
    from ofa_bert.files.weights import write_weights

    path = foreign_files.model_directory(directory / "model", VOCABULARY)
    shapes = {"classifier": 3}
    write_weights(path / "model.safetensors", foreign_files.hugging_face_weights(**shapes))
    write_weights(path / "exits.safetensors", exit_weights())
    (path / "words.txt").write_text("\n".join(VOCABULARY[5:20]) + "\n")
    config = json.loads((path / "config.json").read_text())
    names = {"0": "a", "1": "b", "2": "c"}
    config.update(id2label=names, label2id={name: int(label) for label, name in names.items()}, num_labels=3)
    config.update(architectures=["BertForSequenceClassification"], pad_token_id=0, classifier_dropout=None)
    (path / "config.json").write_text(json.dumps(config))
    sub_model = {"layers": [0, 1], "heads": [3, 3], "ffn": [40, 40]}
    shape = {**SHAPE, "num_layers": 2}
    about = {
        "format": 1, "kind": "sub_model", "task": TASK, "model_type": "bert", "max_seq_length": 16, "seed": 42,
        "shape": shape, "sub_model": sub_model, "scores": {"dev": 0.5}, "score": 0.5, "step": 10,
        "space": {"shape": shape, "width_mults": [1.0, 0.5], "depth_mults": [1.0], "kept_layers": [[0, 1]]},
        "exits": {"head": "ramp", "layers": [0], "training": "joint", "held_out": {"count": 8, "seed": 42}},
        "config": {"held_out_share": 0.2, "seed": 42, "text_columns": ["text"]}, "versions": {"ofa_bert": "1"},
    }  # fmt: skip
    (path / "ofa_config.json").write_text(json.dumps(about))
    settings = {"do_lower_case": True, "tokenizer_class": "BertTokenizer", "model_max_length": 10**30}
    settings["added_tokens_decoder"] = {"0": {"content": "[PAD]", "special": True}}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    (path / "special_tokens_map.json").write_text(json.dumps({"pad_token": "[PAD]", "unk_token": "[UNK]"}))
    return path / damaged


def exit_weights() -> dict[str, np.ndarray]:
    """Of a ramp after the first layer."""
    sizes = {"heads.0.dense": (24, 24), "heads.0.classifier": (24, 3), "certain.0": (24, 1)}
    found = {f"{name}.weight": np.zeros(size, "f4") for name, size in sizes.items()}
    return {**found, **{f"{name}.bias": np.zeros(size[1], "f4") for name, size in sizes.items()}}


def read_model(path: Path) -> None:
    """Loaded, run on a text, and saved."""
    import paddle

    from ofa_bert.models.directories import load_model, save_model
    from ofa_bert.models.exits.heads import load_exits
    from ofa_bert.models.record import check_task
    from ofa_bert.models.vocabulary import trim_vocabulary
    from ofa_bert.tasks.task import Task

    model, tokenizer, record = load_model(path.parent, "bert")
    check_task(str(path.parent), record, Task.from_json(TASK))
    model.eval()
    if path.name == "words.txt":
        trim_vocabulary(model, tokenizer, path, path.parent.parent)
    if path.name in ("exits.safetensors", "ofa_config.json"):
        for array in load_exits(path.parent, record, model).state_dict().values():
            array.numpy()
    if path.name in ("config.json", "ofa_config.json"):
        with paddle.no_grad():
            model(paddle.to_tensor([[2, 7, 8, 3]]), token_type_ids=paddle.to_tensor([[0, 0, 1, 1]]))
        save_model(path.parent.parent / "saved", model, tokenizer, record)


def read_stated(path: Path) -> None:
    """What a training is told of it before Paddle is loaded."""
    from ofa_bert.tasks.task import Task
    from ofa_bert.training.stated import stated

    task, found = Task.from_json(TASK), stated(str(path.parent), "bert")
    assert found is not None
    found.check_length(16)
    found.check_pairs(task)
    found.check_size("the model", {"heads": (3, "heads")})
    found.check_task(task)


def small_run() -> tuple[Any, Any]:
    import paddle

    paddle.seed(1)
    model = paddle.nn.Linear(3, 2)
    schedule = paddle.optimizer.lr.LambdaDecay(0.1, lambda step: 1 - step / 10)
    optimizer = paddle.optimizer.AdamW(schedule, parameters=model.parameters())
    return model, optimizer


def checkpoint(directory: Path, damaged: str) -> Path:
    import paddle

    from ofa_bert.training.checkpoints import save_checkpoint

    model, optimizer = small_run()
    model(paddle.ones([1, 3])).sum().backward()
    optimizer.step()
    optimizer._learning_rate.step()
    best = {"best": {"step": 1, "score": 0.5, "scores": {"dev": 0.5}}}
    history = [{"step": 1, "seconds": 2.5, "scores": {"dev": 0.5}}]
    state = {"step": 1, "seconds": 2.5, "best": best, "history": history}
    return save_checkpoint(directory, 1, model, optimizer, state) / damaged


def digest_again(path: Path) -> None:
    """Makes checkpoint.json agree with what was damaged."""
    from ofa_bert.files.atomic import CHECKPOINT_MANIFEST, file_sha256

    manifest = path.parent / CHECKPOINT_MANIFEST
    value = json.loads(manifest.read_text())
    value["files"][path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    manifest.write_text(json.dumps(value))


def read_checkpoint(path: Path) -> None:
    """Restored, and gone on from: a step, a better score, the next checkpoint's history."""
    import paddle

    from ofa_bert.models.record import ModelRecord
    from ofa_bert.training.run_directory import RunDirectory, restore

    model, optimizer = small_run()
    state = restore(path.parent.parent, model, optimizer)
    if state:
        keeper = RunDirectory(path.parent.parent, model, None, ModelRecord(), state, {}, model)
        keeper.best.get("best", {"score": 0.0})["score"] + 0.5
        keeper._seconds() + state["step"]
        json.dumps(keeper.history)
    model(paddle.ones([1, 3])).sum().backward()
    optimizer.step()
    optimizer._learning_rate.step()


def run_settings(directory: Path) -> Path:
    """What an output directory says of the run in it."""
    from ofa_bert.training.run_directory import check_output_dir

    check_output_dir(directory / "out", {"seed": 1, "rates": [0.1, None]}, False, "finetune")
    (directory / "out" / "best").mkdir()
    return directory / "out" / "ofa_run.json"


def read_run_settings(path: Path) -> None:
    from ofa_bert.training.run_directory import check_output_dir

    check_output_dir(path.parent, {"seed": 1, "rates": [0.1, None]}, True, "finetune")


def teacher_logits(directory: Path) -> Path:
    asked = _teacher(directory)
    asked._logits = np.arange(6, dtype="f4").reshape(2, 3)
    asked._keep(directory / "teacher.logits")
    return directory / "teacher.logits"


def read_teacher_logits(path: Path) -> None:
    """They save time and nothing else: as they were written, or none."""
    found = _teacher(path.parent)._read(path)
    assert found is None or found.tolist() == np.arange(6, dtype="f4").reshape(2, 3).tolist()


def _teacher(directory: Path) -> Any:
    from ofa_bert.data.encoding.encoded import Encoded
    from ofa_bert.training.students.teacher_logits import TeacherLogits

    rows = [np.arange(3), np.arange(3)]
    return TeacherLogits(None, Encoded(rows, rows, np.zeros(2)), 3, 0, directory)


KINDS = (
    *(
        FileKind(f"{name}, as stated", partial(model_directory, damaged=name), read_stated, mutations.of_json, cases=30)
        for name in ("config.json", "ofa_config.json")
    ),
    *(
        FileKind(name, partial(model_directory, damaged=name), read_model, mutate, paddle=True, cases=cases)
        for name, mutate, cases in (
            ("config.json", mutations.of_json, 60),
            ("ofa_config.json", mutations.of_json, 60),
            ("model.safetensors", mutations.of_safetensors, 30),
            ("exits.safetensors", mutations.of_safetensors, 30),
            ("vocab.txt", mutations.of_lines, 20),
            ("tokenizer_config.json", mutations.of_json, 30),
            ("special_tokens_map.json", mutations.of_json, 20),
            ("words.txt", mutations.of_lines, 20),
        )
    ),
    *(
        FileKind(f"{name} of a checkpoint", partial(checkpoint, damaged=name), read_checkpoint, mutate, paddle=True,
                 seal=digest_again)
        for name, mutate in (
            ("state.json", mutations.of_json),
            ("model.safetensors", mutations.of_safetensors),
            ("optimizer.safetensors", mutations.of_safetensors),
        )
    ),
    FileKind(
        "checkpoint.json", partial(checkpoint, damaged="checkpoint.json"), read_checkpoint, mutations.of_json,
        paddle=True, refuses=False,
    ),
    FileKind("ofa_run.json", run_settings, read_run_settings, mutations.of_json, paddle=True),
    FileKind(
        "teacher's logits", teacher_logits, read_teacher_logits, mutations.of_bytes, paddle=True, refuses=False,
        cases=20,
    ),
)  # fmt: skip
