"""Structured pruning: the same heads and neurons everywhere, the same function where nothing is taken."""

import json

import numpy as np
import pytest

import export_model
import run_glue
from helpers.models import batch_of, build
from ofa_bert import __main__ as commands
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.models.record import ModelRecord
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.students.cut import cut
from ofa_bert.training.supernet.importance import Importance, measure

pytestmark = pytest.mark.slow  # trains what it prunes

DATA = "--task_name SST-2 --device cpu --max_seq_length 32".split()


def logits_of(model, batch):
    return model(batch.input_ids, batch.token_type_ids).numpy()


def random_importance(seed, heads=4, neurons=64):
    rng = np.random.default_rng(seed)
    return Importance(rng.random((4, heads)), rng.random((4, neurons)))


@pytest.mark.parametrize("seed", [0, 1])
def test_pruning_to_full_size_is_the_identity_whatever_the_order(seed):
    model, batch = build(), batch_of(size=4)
    before = logits_of(model, batch)
    small, about = cut(model, ModelRecord(), random_importance(seed), 4, 64)
    np.testing.assert_allclose(logits_of(small, batch), before, atol=1e-5)
    assert about["sub_model"] == SubModelConfig((0, 1, 2, 3), heads=(4,) * 4, ffn=(64,) * 4)


@pytest.mark.parametrize("model_type", ["bert", "roberta", "electra", "distilbert"])
def test_the_pruned_model_is_the_model_with_what_was_taken_zeroed(model_type):
    model, batch = build(model_type, pad_token_id=0), batch_of(size=4)
    importance = random_importance(3)
    before = logits_of(model, batch)
    for layer, heads, neurons in zip(encoder_layers(model), importance.heads, importance.neurons):
        head_dim = layer.self_attn.head_dim
        rows = layer.self_attn.out_proj.weight.numpy()
        for head in np.argsort(-heads)[3:]:
            rows[head * head_dim : (head + 1) * head_dim] = 0
        layer.self_attn.out_proj.weight.set_value(rows)
        rows = layer.linear2.weight.numpy()
        rows[np.argsort(-neurons)[40:]] = 0
        layer.linear2.weight.set_value(rows)
    masked = logits_of(model, batch)
    small, _ = cut(build(model_type, pad_token_id=0), ModelRecord(), importance, 3, 40)
    np.testing.assert_allclose(logits_of(small, batch), masked, atol=1e-5)
    assert np.abs(masked - before).max() > 1e-2


def test_every_layer_has_the_wanted_size_and_the_formula_counts_it():
    model, batch = build(), batch_of()
    small, about = cut(model, ModelRecord(), measure(model, [batch], CLASSES), 3, 40)
    for layer in encoder_layers(small):
        attention = layer.self_attn
        assert attention.num_heads == 3
        assert attention.head_dim == 8
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            assert projection.weight.shape == [32, 24]
            assert projection.bias.shape == [24]
        assert attention.out_proj.weight.shape == [24, 32]
        assert attention.out_proj.bias.shape == [32]
        assert layer.linear1.weight.shape == [32, 40]
        assert layer.linear2.weight.shape == [40, 32]
    assert sum(p.size for p in small.parameters()) == count_parameters(about["shape"], about["sub_model"])


def test_a_pruned_model_can_be_pruned_again():
    model, batch = build(), batch_of()
    once, about = cut(model, ModelRecord(), measure(model, [batch], CLASSES), 3, 40, layers=(0, 2, 3))
    twice, again = cut(once, ModelRecord(**about), measure(once, [batch], CLASSES), 2, 16, layers=(0, 2))
    assert again["sub_model"] == SubModelConfig((0, 3), heads=(2, 2), ffn=(16, 16))
    assert again["shape"] == about["shape"]
    assert sum(p.size for p in twice.parameters()) == count_parameters(again["shape"], again["sub_model"])


@pytest.fixture(scope="module")
def teacher(tmp_path_factory, tiny_bert_dir, glue_dir):
    output = tmp_path_factory.mktemp("prune") / "teacher"
    options = [*DATA, "--data_dir", str(glue_dir), "--model_name_or_path", str(tiny_bert_dir)]
    options += "--batch_size 16 --num_train_epochs 3 --learning_rate 3e-3 --save_steps 99".split()
    assert run_glue.main([*options, "--output_dir", str(output)]) == 0
    return output


def prune(teacher, glue_dir, output, heads, neurons, *more):
    command = ["prune", *DATA, "--data_dir", str(glue_dir), "--model_name_or_path", str(teacher)]
    size = ["--target_num_heads", str(heads), "--target_ffn_dim", str(neurons)]
    return commands.main([*command, *size, "--output_dir", str(output), *more])


def test_the_command_writes_a_model_that_exports(teacher, glue_dir, tmp_path):
    assert prune(teacher, glue_dir, tmp_path / "run", 3, 40) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    before = json.loads((teacher / "results.json").read_text())
    assert results["before"] == pytest.approx(before["best"]["scores"])
    assert results["parameters"] < results["parameters_before"]
    assert results["measured_on"] == 16
    assert (tmp_path / "run" / "importance.png").read_bytes().startswith(b"\x89PNG")
    model, _, record = load_model(tmp_path / "run" / "best")
    assert results["parameters"] == sum(p.size for p in model.parameters())
    assert record.kind == "sub_model"
    assert record.scores == results["after"]
    target = ["--sub_model_output_dir", str(tmp_path / "dynamic"), "--static_sub_model", str(tmp_path / "static")]
    export = ["--model_name_or_path", str(tmp_path / "run"), "--device", "cpu", "--max_seq_length", "32", "--onnx"]
    assert export_model.main([*export, *target]) == 0
    with Predictor(tmp_path / "static") as predictor:
        assert predictor.manifest.score == pytest.approx(results["after"]["score"])


def test_full_size_keeps_the_score(teacher, glue_dir, tmp_path):
    assert prune(teacher, glue_dir, tmp_path / "run", 4, 64) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["before"] == results["after"]
    assert results["parameters"] == results["parameters_before"]


def test_what_is_pruned_does_not_depend_on_dev(teacher, glue_dir, tmp_path):
    """Two dev sets, one of them with every label wrong: the same weights."""
    swapped = tmp_path / "swapped"
    swapped.mkdir()
    (swapped / "train.tsv").write_bytes((glue_dir / "train.tsv").read_bytes())
    header, *rows = (glue_dir / "dev.tsv").read_text().splitlines()
    flipped = [f"{row[:-1]}{1 - int(row[-1])}" for row in rows]
    (swapped / "dev.tsv").write_text("\n".join([header, *flipped]) + "\n", encoding="utf-8")
    found = []
    for name, data in (("plain", glue_dir), ("other", swapped)):
        assert prune(teacher, data, tmp_path / name, 2, 24) == 0
        found.append(read_weights(tmp_path / name / "best" / "model.safetensors"))
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[1])
    scores = [json.loads((tmp_path / n / "results.json").read_text())["after"]["score"] for n in ("plain", "other")]
    assert sum(scores) == pytest.approx(1.0)


def test_mistakes_are_said_in_one_line(teacher, glue_dir, tmp_path, tiny_bert_dir, capsys):
    def refused(*arguments):
        assert prune(*arguments) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    run = tmp_path / "run"
    line = refused(teacher, glue_dir, run, 5, 999)
    assert "--target_num_heads 5: 5 heads" in line
    assert "ask for 1 to 4" in line
    assert "999 FFN" in line
    assert "1 to 64" in line
    assert "must be above 0" in refused(teacher, glue_dir, run, 0, 8)
    assert "without a classifier" in refused(tiny_bert_dir, glue_dir, run, 2, 8)
    assert "nowhere" in refused(tmp_path / "nowhere", glue_dir, run, 2, 8)
    assert prune(teacher, glue_dir, run, 2, 8) == 0
    assert "holds a run already" in refused(teacher, glue_dir, run, 2, 8)
    assert "--target_ffn_dim was 8, now 9" in refused(teacher, glue_dir, run, 2, 9, "--resume")
    assert "--target_num_heads is required" in _without_size(teacher, glue_dir, run, capsys)


def _without_size(teacher, glue_dir, run, capsys):
    base = ["prune", *DATA, "--data_dir", str(glue_dir), "--model_name_or_path", str(teacher)]
    assert commands.main([*base, "--output_dir", str(run)]) == 2
    return capsys.readouterr().err
