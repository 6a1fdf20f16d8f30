"""The same of what lies beside weights, and of checkpoints whose digests are right: Paddle reads these."""

from __future__ import annotations

import pytest

from robustness.impossible import DEEP, not_refused

NAN, INF = float("nan"), float("inf")

STATE, BEST = ("state",), ("state", "best", "best")
CASES = {
    "config.json": [
        *((("num_labels",), value, "num_labels is") for value in (0, -1, True, 10**12)),
        (("id2label",), {"0": "a"}, "outputs, its model has 1|num_labels|number of labels"),
        (("id2label",), {str(place): "x" for place in range(4)}, "num_labels is 4, the weights have 3"),
        (("id2label",), ["a", "b", "c"], "does not describe a model"),
        *((("hidden_act",), value, "hidden_act") for value in ("__doc__", None, 5, ["gelu"])),
        *((("layer_norm_eps",), value, "layer_norm_eps is|NaN") for value in (NAN, -1, 0, 0.01, 1, True, "1e-5")),
        *((("vocab_size",), value, "vocab_size") for value in (10**12, -1, True, 1, 3.5)),
        *(((name,), 10**12, name) for name in ("max_position_embeddings", "intermediate_size", "pad_token_id")),
        (("architectures",), DEEP, "nested more than 100 deep"),
    ],
    "ofa_config.json": [
        *((("max_seq_length",), value, "max_seq_length is") for value in (1, 0, -5, True, 33, 10**12)),
        *((("task", "labels"), value, "outputs, as the task has|not a task") for value in (None, ["a"], [None] * 3)),
        *(
            (("exits", "layers"), value, "layers is .*ascending, before") for value in ([1, 0], [0, 0], [5], [])
        ),
        (("exits", "head"), "__doc__", "head is '__doc__'"),
        *((("exits", "lambda"), value, "lambda is") for value in (NAN, INF, -1, 5)),
        *((("exits", "held_out", "count"), value, "count is") for value in (-1, True)),
        (("shape", "vocab_size"), 10**12, "vocab_size 1000000000000, not 27|space is"),
        (("space", "shape", "hidden_size"), 10**9, "space is .*of a model of this shape"),
        *((("space", "width_mults"), value, "width_mult") for value in ([NAN], [0.0], [5], [])),
        (("space", "kept_layers"), [[0, 5]], "the model has layers 0 to 1"),
        (("task", "thresholds"), [NAN] * 3, "thresholds"),
        *((("score",), value, "score is") for value in (NAN, INF, True, "1")),
        (("config",), DEEP, "nested more than 100 deep"),
    ],
    "state.json of a checkpoint": [
        *(((*STATE, "step"), value, "step .* of a schedule") for value in (-1, 2, 10**12, True)),
        *(((*STATE, "seconds"), value, "seconds") for value in (-1, NAN, INF, 1e300)),
        *(((*BEST, "score"), value, "best scores") for value in ("x", INF, -INF, None)),
        *(((*BEST, "step"), value, "best scores") for value in (-1, 7, True)),
        *(((*STATE, "history", 0, "step"), value, "a history of") for value in (-1, 9, None)),
        *((("schedule", "last_epoch"), value, "last_epoch|schedule") for value in (-1, 10**12, NAN, 0.5)),
        *((("schedule", "last_lr"), value, "last_lr is") for value in (NAN, INF)),
        ((*STATE, "history"), DEEP, "nested more than 100 deep"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_impossible_value_is_one_line(tmp_path, name):
    assert not_refused(name, CASES[name], tmp_path) == []


def test_the_record_of_another_task_than_the_model_answers(tmp_path):
    """Nothing else says how wide the classifier is: no shape, no names."""
    import json

    from ofa_bert.errors import UserError
    from ofa_bert.models.directories import load_model
    from robustness.model_kinds import model_directory

    path = model_directory(tmp_path, "ofa_config.json")
    about = json.loads(path.read_text())
    about["task"]["labels"] = ["a", "b", "c", "d"]
    path.write_text(json.dumps({"format": 1, "kind": "teacher", "task": about["task"]}))
    with pytest.raises(UserError, match="of a task with 4 outputs, its model has 3"):
        load_model(path.parent, "bert")
    load_model(path.parent, "bert", num_labels=3)  # who gives a number means a head of its own


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda name, array: None if name == "bias/moment1" else array, "only one of the two has bias/moment1"),
        (lambda name, array: array[:1] if name == "bias/moment1" else array, "bias/moment1 is float32 .1., must be"),
        (lambda name, array: array.astype("i8") if name == "bias/moment1" else array, "bias/moment1 is int64"),
    ],
)
def test_moments_of_another_optimizer_with_a_right_digest(tmp_path, change, words):
    from ofa_bert.errors import UserError
    from ofa_bert.files.weights import read_weights, write_weights
    from robustness.model_kinds import checkpoint, digest_again, read_checkpoint

    path = checkpoint(tmp_path, "optimizer.safetensors")
    arrays = {name: change(name, array) for name, array in read_weights(path).items()}
    write_weights(path, {name: array for name, array in arrays.items() if array is not None})
    digest_again(path)
    with pytest.raises(UserError, match=f"another optimizer or model: .*{words}"):
        read_checkpoint(path)
