"""Every kind of file that is damaged on purpose: how a good one is made, and what is done with a damaged one.

A new kind is one entry of KINDS.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from helpers import foreign_files, mutations
from helpers.models import VOCABULARY
from helpers.mutations import Mutation

LAYERS, DEPTH = (0, 2), 4
WEIGHTS = {
    "a.weight": np.arange(12, dtype="f4").reshape(3, 4) / 8,
    "a.bias": np.array([-1.5, 0.25, 3.0], "f4"),
    "scalar": np.array(2.5, "f4"),
    "empty": np.zeros([0, 4], "f4"),
}
SHAPE = {
    "num_layers": DEPTH, "hidden_size": 24, "num_heads": 3, "head_dim": 8, "ffn_size": 40, "vocab_size": 27,
    "max_positions": 32, "type_vocab_size": 2, "num_labels": 3,
}  # fmt: skip
SUB_MODEL = {"layers": [0, 1, 2, 3], "heads": [3, 2, 1, 3], "ffn": [40, 10, 20, 40]}
TASK = {"name": "t", "labels": ["a", "b", "c"], "metrics": ["accuracy"], "text_columns": ["text"]}


@dataclass(frozen=True)
class FileKind:
    """`make` fills an empty directory and returns the file in it to damage; `read` does with it what the programs do.

    seal: what whoever damages the file does to others, for example the digest of what he wrote.
    """

    name: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    mutate: Mutation
    paddle: bool = False
    refuses: bool = True  # False: a damaged one is passed over, with a warning
    cases: int = 40
    seal: Callable[[Path], None] = lambda _: None


def safetensors(directory: Path) -> Path:
    from ofa_bert.files.weights import write_weights

    write_weights(directory / "model.safetensors", WEIGHTS)
    return directory / "model.safetensors"


def paddle_pickle(directory: Path, protocol: int) -> Path:
    """As paddle.save writes it, without Paddle."""
    value = {name: (name, array) for name, array in WEIGHTS.items()}
    path = directory / "model_state.pdparams"
    path.write_bytes(pickle.dumps({**value, "StructuredToParameterName@@": {"a": "b"}}, protocol))
    return path


def torch_pickle(directory: Path, legacy: bool) -> Path:
    foreign_files.write_torch(directory / "pytorch_model.bin", WEIGHTS, legacy=legacy)
    return directory / "pytorch_model.bin"


def index(directory: Path) -> Path:
    from ofa_bert.files.weights import write_weights

    parts = {"one.safetensors": ["a.weight", "a.bias"], "two.safetensors": ["scalar", "empty"]}
    for part, names in parts.items():
        write_weights(directory / part, {name: WEIGHTS[name] for name in names})
    weight_map = {name: part for part, names in parts.items() for name in names}
    path = directory / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {"total_size": 100}, "weight_map": weight_map}))
    return path


def read_weights(path: Path) -> None:
    from ofa_bert.files.weights import read_weights

    for array in read_weights(path).values():
        np.asarray(array, np.float32)


def journal(directory: Path) -> Path:
    from ofa_bert.files.journal import Journal

    made = Journal(directory / "log.jsonl", {"seed": 1})
    for key in "abc":
        made.add(key, {"loss": 0.5, "cost": {"ms": 1.5}})
    return made.path


def read_journal(path: Path) -> None:
    from ofa_bert.files.journal import Journal

    Journal(path, {"seed": 1}).add("d", {"loss": 1.0})


def latency_table(directory: Path) -> Path:
    from ofa_bert.bundle.latency_table import ExitCost, LatencyTable
    from ofa_bert.submodels.values import ModelShape

    table = LatencyTable(
        ModelShape(**SHAPE), 0.5, 0.1, {1: 0.1, 2: 0.2, 3: 0.3}, {10: 0.1, 40: 0.4}, {"batch_size": 1, "threads": 1},
        {"median": 0.02}, ({"ms": 1.0},), ExitCost("ramp", 0.1, 0.2), {0.5: 1.0},
    )  # fmt: skip
    table.save(directory / "latency.json")
    return directory / "latency.json"


def read_latency_table(path: Path) -> None:
    from ofa_bert.bundle.latency_table import LatencyTable
    from ofa_bert.submodels.values import ModelShape, SubModelConfig

    table = LatencyTable.load(path)
    table.check_shape(ModelShape(**SHAPE), str(path))
    sub_model = SubModelConfig.from_json(SUB_MODEL)
    assert np.isfinite(table.predict(sub_model))
    if table.exits is not None:
        table.after_exits(sub_model, [1, 3], [0])
    json.dumps(table.to_json())


def exit_policy(directory: Path) -> Path:
    from ofa_bert.exits.layout import ExitLayout
    from ofa_bert.exits.policy import Policy
    from ofa_bert.exits.policy_file import policy_json
    from ofa_bert.submodels.values import SubModelConfig
    from ofa_bert.tasks.task import Task

    sub_model, layout = SubModelConfig.from_json(SUB_MODEL), ExitLayout("ramp", LAYERS)
    about = policy_json(
        Policy("entropy", 0.3), "threshold", [0, 1], sub_model, layout, [1, 3, 4], Task.from_json(TASK), "somewhere"
    )
    path = directory / "exit_policy.json"
    path.write_text(json.dumps(about))
    return path


def read_exit_policy(path: Path) -> None:
    from ofa_bert.exits.layout import ExitLayout
    from ofa_bert.exits.policy import Policy, first_exits
    from ofa_bert.exits.policy_file import read_policy
    from ofa_bert.submodels.values import SubModelConfig
    from ofa_bert.tasks.task import Task

    sub_model, task = SubModelConfig.from_json(SUB_MODEL), Task.from_json(TASK)
    found = read_policy(str(path), sub_model, task, ExitLayout("ramp", LAYERS), [1, 3, 4], 27)
    first_exits(Policy.from_json(found.about["policy"]), np.ones([3, 2, 3]), np.ones([3, 2]))


def token_table(directory: Path) -> Path:
    from ofa_bert.exits.token_table import TABLE
    from ofa_bert.files.weights import write_weights

    arrays = {"counts": np.ones([27, 3], "i8"), "layers": np.array([1, 3, 4]), "cuts": np.array([1.5, 2.5])}
    write_weights(directory / TABLE, arrays)
    return directory / TABLE


def read_token_table(path: Path) -> None:
    from ofa_bert.exits.token_table import read_table

    read_table(path, [1, 3, 4], 27)


def model_directory(directory: Path, damaged: str) -> Path:
    """A Hugging Face classifier of two layers, with what this package writes beside it."""
    from ofa_bert.files.weights import write_weights

    path = foreign_files.model_directory(directory / "model", VOCABULARY)
    shapes = {"classifier": 3}
    write_weights(path / "model.safetensors", foreign_files.hugging_face_weights(**shapes))
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


def read_model(path: Path) -> None:
    """Loaded, run on a text, and saved."""
    import paddle

    from ofa_bert.models.directories import load_model, save_model
    from ofa_bert.models.record import check_task
    from ofa_bert.tasks.task import Task

    model, tokenizer, record = load_model(path.parent, "bert")
    check_task(str(path.parent), record, Task.from_json(TASK))
    model.eval()
    if path.name in ("config.json", "ofa_config.json"):
        with paddle.no_grad():
            model(paddle.to_tensor([[2, 7, 8, 3]]), token_type_ids=paddle.to_tensor([[0, 0, 1, 1]]))
        save_model(path.parent.parent / "saved", model, tokenizer, record)


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


KINDS = (
    FileKind("safetensors", safetensors, read_weights, mutations.of_safetensors),
    FileKind("pdparams 2", partial(paddle_pickle, protocol=2), read_weights, mutations.of_bytes),
    FileKind("pdparams 4", partial(paddle_pickle, protocol=4), read_weights, mutations.of_bytes),
    FileKind("torch zip", partial(torch_pickle, legacy=False), read_weights, mutations.of_zip("archive/data.pkl")),
    FileKind("torch stream", partial(torch_pickle, legacy=True), read_weights, mutations.of_bytes),
    FileKind("index", index, read_weights, mutations.of_json),
    FileKind("journal", journal, read_journal, mutations.of_json_lines),
    FileKind("latency table", latency_table, read_latency_table, mutations.of_json, cases=100),
    FileKind("exit policy", exit_policy, read_exit_policy, mutations.of_json, cases=80),
    FileKind("token table", token_table, read_token_table, mutations.of_safetensors),
    *(
        FileKind(name, partial(model_directory, damaged=name), read_model, mutate, paddle=True, cases=cases)
        for name, mutate, cases in (
            ("config.json", mutations.of_json, 60),
            ("ofa_config.json", mutations.of_json, 60),
            ("vocab.txt", mutations.of_lines, 20),
            ("tokenizer_config.json", mutations.of_json, 30),
            ("special_tokens_map.json", mutations.of_json, 20),
        )
    ),
    FileKind(
        "state.json", partial(checkpoint, damaged="state.json"), read_checkpoint, mutations.of_json,
        paddle=True, seal=digest_again,
    ),
    FileKind(
        "checkpoint.json", partial(checkpoint, damaged="checkpoint.json"), read_checkpoint, mutations.of_json,
        paddle=True, refuses=False,
    ),
)  # fmt: skip
