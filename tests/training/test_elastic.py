"""Depth before any task: relations, the step, the encoder that comes out, and the layers that a supernet then keeps."""

import dataclasses
import json
import random

import numpy as np
import paddle
import pytest

import run_glue
import run_glue_ofa
from helpers.foreign_files import tokenizer_for
from helpers.interrupting import interrupted_after
from helpers.models import WORDS, batch_of, build
from ofa_bert.__main__ import main
from ofa_bert.data.corpus import NOT_MASKED, Corpus
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.directories import load_encoder, load_model, save_model, without_classifier
from ofa_bert.models.encoder import backbone, shape_of
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import forward, whole
from ofa_bert.numerics import MASKED
from ofa_bert.submodels.elastic_record import ElasticRecord
from ofa_bert.submodels.values import SubModelConfig, uniform
from ofa_bert.training.losses.distillation import token_weights
from ofa_bert.training.losses.relations import relation_loss
from ofa_bert.training.pretraining.elastic_plan import shares
from ofa_bert.training.pretraining.elastic_step import ElasticObjective, distances, elastic_step

OBJECTIVE = ElasticObjective(state=1.0, relation=1.0, heads=4)


def log_softmax(scores):
    return (
        scores
        - np.log(np.exp(scores - scores.max(-1, keepdims=True)).sum(-1, keepdims=True))
        - scores.max(-1, keepdims=True)
    )


def relations_by_hand(student, teacher, heads, lengths):
    """Text by text and head by head, over its own tokens alone: no mask is needed."""
    total = 0.0
    for own, wanted in zip(student, teacher):
        for row, length in enumerate(lengths):
            for head in np.split(np.arange(own.shape[-1]), heads):
                found, right = (
                    log_softmax(part @ part.T / np.sqrt(len(head)))
                    for part in (own[row, :length][:, head], wanted[row, :length][:, head])
                )
                kl = (np.exp(right) * (right - found)).sum(-1)
                total += kl.mean() / heads / len(lengths)
    return total


@pytest.mark.parametrize("heads", [1, 4, 8])
def test_relations_are_those_of_the_paper_over_each_texts_own_tokens(heads):
    rng, lengths = np.random.default_rng(0), (7, 4, 2)
    student, teacher = ([rng.normal(size=(3, 7, 16)) for _ in range(3)] for _ in range(2))
    tokens = (np.arange(7) < np.asarray(lengths)[:, None]).astype("float32")
    mask = paddle.to_tensor(((1 - tokens) * MASKED)[:, None, None].astype("float32"))
    weights = token_weights(paddle.to_tensor(tokens))
    own, wanted = ([paddle.to_tensor(part.astype("float32")) for part in side] for side in (student, teacher))
    found = float(relation_loss(own, wanted, heads, mask, weights))
    assert found == pytest.approx(relations_by_hand(student, teacher, heads, lengths), rel=1e-4)
    assert found > 0.01
    assert float(relation_loss(wanted, wanted, heads, mask, weights)) == pytest.approx(0.0, abs=1e-6)


def step_gradients(model, teacher, batch, sub_models):
    for parameter in model.parameters():
        parameter.clear_gradient(set_to_zero=False)
    parts = elastic_step(model, teacher, OBJECTIVE, sub_models)(batch, 0, lambda loss: loss.backward())
    return parts, {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}


def test_a_step_gives_the_mean_gradient_of_its_depths_and_none_to_the_teacher():
    model, teacher = build(seed=0), build(seed=1)
    shape, batch = shape_of(model), batch_of()
    full, half = uniform(shape, 1.0), uniform(shape, 1.0, (0, 3))
    parts, both = step_gradients(model, teacher, batch, (full, half))
    assert set(parts) == {"state", "relation"}
    apart = [step_gradients(model, teacher, batch, (each,)) for each in (full, half)]
    for name in parts:
        assert parts[name] == pytest.approx((apart[0][0][name] + apart[1][0][name]) / 2, rel=1e-4)
    for name, found in both.items():
        wanted = sum(gradients.get(name, 0.0) for _, gradients in apart) / 2
        np.testing.assert_allclose(found, wanted, atol=1e-5, err_msg=name)
    assert not [name for name, parameter in teacher.named_parameters() if parameter.grad is not None]
    assert not [name for name in apart[1][1] if "layers.1." in name and np.any(apart[1][1][name])]
    heads = {name for name, _ in model.named_parameters() if "classifier" in name or "pooler" in name}
    assert not heads & set(both)


def test_two_halves_give_the_gradient_of_the_whole_however_far_they_are_padded():
    model, teacher = build(seed=0), build(seed=1)
    batch = batch_of(size=4, length=9)
    sub_models = (uniform(shape_of(model), 1.0), uniform(shape_of(model), 1.0, (0, 3)))
    _, wanted = step_gradients(model, teacher, batch, sub_models)
    halves = []
    for rows, longest in ((slice(0, 2), 9), (slice(2, 4), 5)):
        cut = {name: getattr(batch, name)[rows, :longest] for name in ("input_ids", "token_type_ids")}
        part = dataclasses.replace(batch, **cut)
        halves.append(step_gradients(model, teacher, part, sub_models)[1])
    for name, found in wanted.items():
        np.testing.assert_allclose((halves[0][name] + halves[1][name]) / 2, found, atol=1e-5, err_msg=name)


def test_the_encoder_as_it_came_is_no_distance_from_itself_and_a_shallow_one_some():
    model = build(seed=0)
    sub_models = {"full": uniform(shape_of(model), 1.0), "half": uniform(shape_of(model), 1.0, (0, 3))}
    found = distances(model, model, OBJECTIVE, sub_models, [batch_of(seed=1), batch_of(size=2, seed=2)])
    assert all(value == pytest.approx(0.0, abs=1e-6) for value in found["full"].values())
    half = found["half"]
    assert half["loss"] == pytest.approx(half["state"] + half["relation"])
    # The last hidden state of each text's own tokens, by hand.
    total = []
    for batch in (batch_of(seed=1), batch_of(size=2, seed=2)):
        own, wanted = (forward(model, batch.input_ids, batch.token_type_ids, sub_models[n]).hidden[-1] for n in found)
        squares = ((own - wanted).numpy() ** 2).mean(-1)
        total += [row[ids != 0].mean() for row, ids in zip(squares, batch.input_ids.numpy())]
    assert half["last_state"] == pytest.approx(np.mean(total), rel=1e-4)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_an_encoder_of_every_family_comes_back_as_it_was(tmp_path, model_type):
    """With no head that it had not: not a pooler either."""
    shape = {"layers": 2, "ffn": 128}  # PaddleNLP's own ERNIE-M has no other FFN
    classifier = build(model_type, **shape)
    tokenizer = tokenizer_for(tmp_path, model_type)
    save_model(tmp_path / "m", without_classifier(classifier), tokenizer, ModelRecord(model_type=model_type))
    found = load_encoder(str(tmp_path / "m"), "auto", None)
    assert not found.has_classifier
    name = type(backbone(classifier)).__name__
    assert json.loads((tmp_path / "m" / "config.json").read_text())["architectures"] == [name]
    stored = read_weights(tmp_path / "m" / "model.safetensors")
    assert set(found.model.state_dict()) == set(stored)
    found.model.eval()
    again, first = (
        distances(model, classifier, OBJECTIVE, {"full": whole(classifier)}, [batch_of()])
        for model in (found.model, build(model_type, **shape, seed=1))
    )
    assert again["full"]["loss"] == pytest.approx(0.0, abs=1e-5)
    assert first["full"]["loss"] > 0.1
    import paddlenlp.transformers

    theirs = getattr(paddlenlp.transformers, name).from_pretrained(str(tmp_path / "m"))
    for own in (f"{model_type}.encoder.layers.1.linear1.weight", f"{model_type}.embeddings.word_embeddings.weight"):
        np.testing.assert_array_equal(theirs.state_dict()[own.partition(".")[2]].numpy(), stored[own])
    without = {name: array for name, array in stored.items() if ".pooler." not in name}
    write_weights(tmp_path / "m" / "model.safetensors", without)
    assert set(load_encoder(str(tmp_path / "m"), "auto", None).model.state_dict()) == set(without)


def test_a_record_of_depths_is_read_as_it_was_written():
    elastic = ElasticRecord(by="even", num_layers=4, depths={1.0: (0, 1, 2, 3), 0.5: (0, 3)}, sha256="a", texts=9)
    record = ModelRecord(kind="pretrained", elastic=elastic, step=7)
    read = ModelRecord.from_json(json.loads(json.dumps(record.to_json())), "here")
    assert read.elastic == elastic
    assert read.passed_on(4).steps == 7
    assert read.passed_on(2) is None  # a student with other layers
    again = ModelRecord.from_json(ModelRecord(elastic=read.passed_on(4), step=99).to_json(), "here")
    assert again.passed_on(4).steps == 7  # not those of the finetuning
    assert elastic.layers(2) == (0, 3)
    assert elastic.layers(3) is None
    wrong = elastic.to_json()
    wrong["depths"][1]["layers"] = [0, 4]
    with pytest.raises(UserError, match=r"here, elastic, depths 1: layers is \[0, 4\], must be one layer or more of"):
        ModelRecord.from_json({"elastic": wrong}, "here")


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    rng = random.Random(4)
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("\n".join(" ".join(rng.choices(WORDS, k=rng.randrange(3, 14))) for _ in range(240)), "utf-8")
    return path


def test_plain_texts_have_no_masks(corpus_file, tiny_bert_dir):
    tokenizer = load_encoder(str(tiny_bert_dir), "bert", None).tokenizer
    corpus = Corpus(corpus_file, tokenizer, 16, 8, 1, 0.0, 20)
    ids = [tuple(row[row != 0]) for batch in (*corpus.epoch(0), *corpus.held_out()) for row in batch.input_ids]
    lines = corpus_file.read_text().splitlines()
    assert sorted(set(ids)) == sorted(
        {tuple(row) for row in tokenizer(lines, max_length=16, truncation=True)["input_ids"]}
    )
    assert all((batch.labels == NOT_MASKED).all() for batch in corpus.epoch(0))


def command(encoder, corpus_file, output, *more):
    base = ["pretrain", "--elastic", "--model_name_or_path", str(encoder), "--corpus", str(corpus_file)]
    base += ["--output_dir", str(output), *"--device cpu --batch_size 8 --held_out 20 --max_seq_length 16".split()]
    return main([*base, *"--logging_steps 20 --seed 3 --save_steps 20 --adam_epsilon 1e-4".split(), *map(str, more)])


@pytest.fixture(scope="module")
def pretrained(tiny_bert_dir, corpus_file, tmp_path_factory):
    output = tmp_path_factory.mktemp("elastic") / "run"
    more = ["--layer_choice", "prefix", "--learning_rate", "1e-3", "--max_steps", 60]
    assert command(tiny_bert_dir, corpus_file, output, *more) == 0
    return output


def test_half_the_depth_comes_nearer_and_the_whole_stays_near(pretrained, tiny_bert_dir, corpus_file):
    results = json.loads((pretrained / "results.json").read_text())
    start, best = results["start"], results["best"]["scores"]
    assert results["kept_layers"] == {"w1_d1": [0, 1, 2, 3], "w1_d0.5": [0, 1]}
    assert start["w1_d1"]["loss"] == pytest.approx(0.0, abs=1e-6)
    for part in ("loss", "state", "relation", "last_state"):
        assert best["w1_d0.5"][part] < 0.8 * start["w1_d0.5"][part], part
    assert best["w1_d1"]["last_state"] < 0.05 * best["w1_d0.5"]["last_state"]
    # The same names come out as came in.
    teacher, own = (load_encoder(str(path), "auto", None).model for path in (tiny_bert_dir, pretrained / "best"))
    assert set(own.state_dict()) == set(teacher.state_dict())
    record = load_encoder(str(pretrained / "best"), "auto", None).record
    assert (record.kind, record.elastic.by, record.elastic.texts) == ("pretrained", "prefix", 240)
    assert record.elastic.layers(2) == (0, 1)
    assert len(record.elastic.sha256) == 64
    assert record.step == results["best"]["step"]


def test_the_full_depth_counts_more():
    full, half, quarter = (SubModelConfig(tuple(range(depth)), (4,) * depth, (8,) * depth) for depth in (4, 2, 1))
    assert shares((full, half, quarter), 4.0) == pytest.approx([2.0, 0.5, 0.5])
    assert shares((full, half), 1.0) == [1.0, 1.0]


def test_a_stopped_run_resumes_to_the_same_weights(tiny_bert_dir, corpus_file, tmp_path, monkeypatch, capsys):
    more = ["--max_steps", 8, "--save_steps", 3, "--supernet_dropout", 0.1]
    assert command(tiny_bert_dir, corpus_file, tmp_path / "a", *more) == 0
    with interrupted_after(5, monkeypatch):
        assert command(tiny_bert_dir, corpus_file, tmp_path / "b", *more) == 130
    assert command(tiny_bert_dir, corpus_file, tmp_path / "b", *more, "--resume") == 0
    one, two = (read_weights(tmp_path / name / "last" / "model.safetensors") for name in ("a", "b"))
    assert one.keys() == two.keys()
    assert not [name for name in one if (one[name] != two[name]).any()]
    other = tmp_path / "texts.txt"
    other.write_text(corpus_file.read_text() + "\na film\n")
    assert command(tiny_bert_dir, other, tmp_path / "b", *more, "--resume") == 2
    assert "corpus_sha256" in capsys.readouterr().err
    start = [json.loads((tmp_path / name / "results.json").read_text())["start"] for name in ("a", "b")]
    assert start[0] == start[1]


def on_task(module, glue_dir, model, output, *more):
    words = ["--model_name_or_path", str(model), "--task_name", "SST-2", "--data_dir", str(glue_dir)]
    words += ["--output_dir", str(output), *"--device cpu --max_steps 2 --max_seq_length 16".split(), *more]
    assert module.main(words) == 0


def test_a_supernet_of_what_was_finetuned_keeps_the_same_layers(pretrained, glue_dir, tmp_path, capsys):
    on_task(run_glue, glue_dir, pretrained, tmp_path / "ft")
    record = load_model(tmp_path / "ft" / "best")[2]
    before = load_encoder(str(pretrained / "best"), "auto", None).record
    assert record.kind == "teacher"
    assert record.elastic == before.passed_on(4)
    assert record.elastic.steps == before.step
    depths = "--depth_mult_list 1.0 0.75 0.5".split()
    capsys.readouterr()
    on_task(run_glue_ofa, glue_dir, tmp_path / "ft", tmp_path / "ofa", *depths)
    assert "those that the encoder was pre-trained with; --layer_choice takes others" in capsys.readouterr().err
    record = load_model(tmp_path / "ofa" / "best")[2]
    # Three quarters were not pre-trained: evenly spaced.
    assert record.space.kept_layers == ((0, 1, 2, 3), (0, 2, 3), (0, 1))
    assert record.more["layer_choice"]["by"] == "recorded"
    assert record.elastic.layers(2) == (0, 1)
    on_task(run_glue_ofa, glue_dir, tmp_path / "ft", tmp_path / "even", *depths, "--layer_choice", "even")
    record = load_model(tmp_path / "even" / "best")[2]
    assert record.space.kept_layers[2] == (0, 3)
    assert record.more["layer_choice"]["by"] == "even"


def test_a_classifier_stays_one_and_its_supernet_keeps_the_layers(tiny_bert_dir, glue_dir, corpus_file, tmp_path):
    on_task(run_glue, glue_dir, tiny_bert_dir, tmp_path / "ft")
    more = ["--max_steps", 2, "--layer_choice", "prefix"]
    assert command(tmp_path / "ft", corpus_file, tmp_path / "elastic", *more) == 0
    before, _, old = load_model(tmp_path / "ft" / "best")
    after, _, record = load_model(tmp_path / "elastic" / "best")
    assert (record.kind, record.task, record.shape) == (old.kind, old.task, old.shape)
    np.testing.assert_array_equal(after.classifier.weight.numpy(), before.classifier.weight.numpy())
    depths = "--depth_mult_list 1.0 0.5".split()
    on_task(run_glue_ofa, glue_dir, tmp_path / "elastic", tmp_path / "ofa", *depths)
    assert load_model(tmp_path / "ofa" / "best")[2].space.kept_layers[1] == (0, 1)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tiny_bert_dir, corpus_file, tmp_path):
    """Started by --processes, as users do."""
    import subprocess
    import sys

    words = ["-m", "ofa_bert", "pretrain", "--elastic", "--model_name_or_path", str(tiny_bert_dir)]
    words += ["--corpus", str(corpus_file), *"--device cpu --held_out 20 --max_seq_length 16 --max_steps 6".split()]
    words += ["--adam_epsilon", "1e-2"]
    for name, more in (("one", "--batch_size 16"), ("two", "--batch_size 8 --processes 2")):
        line = [sys.executable, *words, "--output_dir", str(tmp_path / name), *more.split()]
        done = subprocess.run(line, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
    one, two = (read_weights(tmp_path / name / "last" / "model.safetensors") for name in ("one", "two"))
    before = read_weights(tiny_bert_dir / "model_state.pdparams")
    for name, array in one.items():
        np.testing.assert_allclose(two[name], array, atol=2e-6, err_msg=name)
    name = "encoder.layers.0.linear1.weight"
    assert np.abs(one[f"bert.{name}"] - before.get(name, before.get(f"bert.{name}"))).max() > 1e-4
    assert json.loads((tmp_path / "two" / "results.json").read_text())["processes"] == 2
