"""Pre-training by distillation: masking, the stream, losses, parity with PaddleNLP's masked-LM, resuming."""

import json
import random

import numpy as np
import paddle
import pytest

import run_glue
from helpers.foreign_files import hugging_face_weights, model_directory, with_prefix
from helpers.interrupting import interrupted_after
from helpers.models import VOCABULARY, WORDS, randomise
from ofa_bert.__main__ import main
from ofa_bert.data.corpus import NOT_MASKED, Corpus, Words, mask_words
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights, write_weights
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.masked_lm import build, copy_leading, load, student_of
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.shape import Shape, Surroundings, parameters
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.losses.masked_lm import kd_loss, masked_of, mlm_loss
from ofa_bert.training.pretraining.pretrain import pretrain_step

PIECES = [*VOCABULARY, "##s", "##ing", "##ly", "act", "like"]


@pytest.fixture(scope="module")
def corpus_file(tmp_path_factory):
    """260 texts in which a word says what follows it, and some empty lines."""
    rng, lines = random.Random(4), []
    for _ in range(260):
        words = rng.choices(WORDS[:8], k=rng.randrange(2, 9))
        lines += [" ".join(w for word in words for w in (word, WORDS[8 + WORDS.index(word)])), ""]
    path = tmp_path_factory.mktemp("corpus") / "texts.txt"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tokenizer(tiny_bert_dir):
    return load(str(tiny_bert_dir), "bert").tokenizer


def corpus(path, tokenizer, **more):
    return Corpus(path, tokenizer, **{"max_seq_length": 16, "batch_size": 8, "seed": 1, "share": 0.3, **more})


def words_of(tmp_path):
    from paddlenlp.transformers import BertTokenizer

    (tmp_path / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    return Words.of(BertTokenizer(str(tmp_path / "vocab.txt")))


def test_whole_words_are_masked_with_all_their_tokens(tmp_path):
    words = words_of(tmp_path)
    text = ["[CLS]", "like", "##ing", "##ly", "film", "act", "##s", "[SEP]"]
    ids = np.asarray([PIECES.index(token) for token in text])
    groups = [{1, 2, 3}, {4}, {5, 6}]
    for seed in range(40):
        masked, labels = mask_words(ids, words, 0.4, np.random.default_rng(seed))
        chosen = set(np.flatnonzero(labels != NOT_MASKED).tolist())
        assert chosen in groups, chosen  # 40 % of three words is one
        assert (labels[list(chosen)] == ids[list(chosen)]).all()
        rest = [i for i in range(len(ids)) if i not in chosen]
        assert (masked[rest] == ids[rest]).all()
    masked, labels = mask_words(ids, words, 1.0, np.random.default_rng(0))
    assert (labels[1:-1] == ids[1:-1]).all()
    assert labels[0] == labels[-1] == NOT_MASKED


def test_masked_tokens_become_masks_random_words_or_stay(tmp_path):
    words = words_of(tmp_path)
    ids = np.full(20000, PIECES.index("film"))
    masked, labels = mask_words(ids, words, 1.0, np.random.default_rng(0))
    assert (labels == ids).all()
    shares = [(masked == words.mask_id).mean(), (masked == ids).mean()]
    assert shares[0] == pytest.approx(0.8, abs=0.02)
    assert shares[1] == pytest.approx(0.1 + 0.1 / 25, abs=0.02)
    assert not set(masked.tolist()) & (words.special - {words.mask_id})


def test_a_text_without_a_word_masks_nothing(tmp_path):
    words = words_of(tmp_path)
    ids = np.asarray([PIECES.index("[CLS]"), PIECES.index("[UNK]"), PIECES.index("[SEP]")])
    _, labels = mask_words(ids, words, 0.5, np.random.default_rng(0))
    assert (labels == NOT_MASKED).all()
    masked = masked_of(paddle.to_tensor(labels[None]))
    assert len(masked.places) == 1
    assert float(masked.weights.sum()) == 0.0


def texts_in(batches):
    """The texts without their masks, for counting."""
    found = []
    for batch in batches:
        ids = np.where(batch.labels == NOT_MASKED, batch.input_ids, batch.labels)
        found += [tuple(row[row != 0].tolist()) for row in ids]
    return found


def test_stream_has_every_text_once_and_never_what_is_held_out(corpus_file, tokenizer):
    one = corpus(corpus_file, tokenizer, held_out=20)
    held = texts_in(one.held_out())
    assert one.texts == 260
    assert len(held) == 20
    assert one.size == 240
    assert one.steps_per_epoch == 30
    seen = texts_in(one.epoch(0))
    lines = [line for line in corpus_file.read_text().splitlines() if line]
    everything = [tuple(ids) for ids in tokenizer(lines, max_length=16, truncation=True)["input_ids"]]
    assert sorted(seen + held) == sorted(everything)
    again = texts_in(one.epoch(1))
    assert sorted(again) == sorted(seen)
    assert again != seen


def test_stream_resumes_anywhere_with_the_same_masks(corpus_file, tokenizer, monkeypatch):
    from ofa_bert.data import corpus as module

    monkeypatch.setattr(module, "POOL_BATCHES", 4)  # nine pools
    whole = list(corpus(corpus_file, tokenizer).epoch(2))
    assert len(whole) == corpus(corpus_file, tokenizer).steps_per_epoch == 33
    for start in (0, 3, 4, 5, 32):
        rest = list(corpus(corpus_file, tokenizer).epoch(2, start))
        assert len(rest) == 33 - start
        for one, other in zip(whole[start:], rest):
            assert (one.input_ids == other.input_ids).all()
            assert (one.labels == other.labels).all()


def test_two_processes_see_together_what_one_with_twice_the_batch_sees(corpus_file, tokenizer):
    whole = list(corpus(corpus_file, tokenizer, batch_size=8).epoch(0))
    parts = [list(corpus(corpus_file, tokenizer, batch_size=4, rank=r, world=2).epoch(0)) for r in (0, 1)]
    for one, *two in zip(whole, *parts):
        masks = [[tuple(row[row != 0]) for row in batch.input_ids] for batch in (one, *two)]
        assert sorted(masks[0]) == sorted(masks[1] + masks[2])


def test_batches_hold_texts_of_about_one_length(corpus_file, tokenizer):
    padded = [float((b.input_ids == 0).mean()) for b in corpus(corpus_file, tokenizer).epoch(0)]
    assert np.mean(padded) < 0.1


def tiny_config(**more):
    from paddlenlp.transformers import BertConfig

    sizes = {"vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    return BertConfig(**{**sizes, "intermediate_size": 24, "max_position_embeddings": 24, **more})


def masked_batch(seed=0, size=3, length=7):
    rng = np.random.default_rng(seed)
    ids = rng.integers(5, 40, [size, length])
    ids[1, 5:] = 0
    labels = np.where(rng.random([size, length]) < 0.4, ids, NOT_MASKED)
    labels[:, 0], labels[ids == 0] = 7, NOT_MASKED
    return [paddle.to_tensor(array.astype("int64")) for array in (ids, np.zeros_like(ids), labels)]


def test_logits_are_those_of_paddlenlps_masked_lm(tmp_path, tokenizer):
    from paddlenlp.transformers import BertForMaskedLM

    model = randomise(build("bert", tiny_config()))
    model.eval()
    save_model(tmp_path / "m", model, tokenizer, ModelRecord())
    assert json.loads((tmp_path / "m" / "config.json").read_text())["architectures"] == ["BertForMaskedLM"]
    theirs = BertForMaskedLM.from_pretrained(str(tmp_path / "m"))
    theirs.eval()
    ids, types, labels = masked_batch()
    masked = masked_of(labels)
    expected = theirs(ids, token_type_ids=types).reshape([-1, 40]).numpy()[masked.places.numpy()]
    np.testing.assert_allclose(model(ids, types, masked.places).numpy(), expected, atol=1e-4)
    again = load(str(tmp_path / "m"), "bert")
    again.model.eval()
    assert again.has_head
    np.testing.assert_allclose(again.model(ids, types, masked.places).numpy(), expected, atol=1e-4)


def test_head_of_a_hugging_face_model_is_read(tmp_path):
    weights = hugging_face_weights(vocab_size=len(VOCABULARY))
    rng = np.random.default_rng(1)
    head = {
        "cls.predictions.transform.dense.weight": (24, 24), "cls.predictions.transform.dense.bias": (24,),
        "cls.predictions.transform.LayerNorm.weight": (24,), "cls.predictions.transform.LayerNorm.bias": (24,),
        "cls.predictions.bias": (len(VOCABULARY),),
    }  # fmt: skip
    head = {name: rng.normal(size=shape).astype("f4") for name, shape in head.items()}
    path = model_directory(tmp_path / "hf", VOCABULARY)
    write_weights(path / "model.safetensors", {**with_prefix(weights, "bert"), **head})
    found = load(str(path), "bert")
    own = found.model.cls.predictions
    np.testing.assert_array_equal(own.transform.weight.numpy(), head["cls.predictions.transform.dense.weight"].T)
    np.testing.assert_array_equal(own.layer_norm.bias.numpy(), head["cls.predictions.transform.LayerNorm.bias"])
    np.testing.assert_array_equal(own.decoder_bias.numpy(), head["cls.predictions.bias"])
    assert found.has_head
    del head["cls.predictions.bias"]
    write_weights(path / "model.safetensors", {**with_prefix(weights, "bert"), **head})
    with pytest.raises(UserError, match="lacks decoder_bias"):
        load(str(path), "bert")
    write_weights(path / "model.safetensors", with_prefix(weights, "bert"))
    assert not load(str(path), "bert").has_head


def test_losses_at_masked_tokens_only_and_zero_between_equals():
    student, teacher = (randomise(build("bert", tiny_config()), seed) for seed in (0, 1))
    student.eval(), teacher.eval()
    ids, types, labels = masked_batch()
    masked = masked_of(labels)
    own, other = student(ids, types, masked.places), teacher(ids, types, masked.places)
    assert own.shape == [int((labels != NOT_MASKED).sum()), 40]
    assert float(kd_loss(own, own, masked, 2.0)) == pytest.approx(0.0, abs=1e-6)
    # Both by hand, text by text.
    p = paddle.nn.functional.softmax(other / 2.0).numpy().astype("f8")
    q = paddle.nn.functional.softmax(own / 2.0).numpy().astype("f8")
    ce = -np.log(paddle.nn.functional.softmax(own).numpy()[np.arange(len(own)), masked.labels.numpy()])
    kl = (p * np.log(p / q)).sum(1)
    rows = masked.places.numpy() // ids.shape[1]
    by_text = [np.mean([values[rows == row].mean() for row in range(3)]) for values in (kl, ce)]
    assert float(kd_loss(own, other, masked, 2.0)) == pytest.approx(4 * by_text[0], rel=1e-4)
    assert float(mlm_loss(own, masked)) == pytest.approx(by_text[1], rel=1e-4)
    assert float(masked.weights.sum()) == pytest.approx(1.0)


class Weights:
    mlm_weight, kd_weight, temperature = 0.1, 0.5, 2.0


def gradients(model):
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters() if p.grad is not None}


def test_teacher_gets_no_gradient_and_two_halves_give_the_gradient_of_the_whole(corpus_file, tokenizer):
    config = tiny_config(vocab_size=len(VOCABULARY))
    student, teacher = (randomise(build("bert", config), seed) for seed in (0, 1))
    student.eval(), teacher.eval()
    step = pretrain_step(student, teacher, Weights)

    def of(batch):
        for parameter in student.parameters():
            parameter.clear_gradient(set_to_zero=False)
        parts = step(to_tensors(batch), 0, lambda loss: loss.backward())
        assert set(parts) == {"mlm", "kd"}
        assert parts["kd"] > 0
        return gradients(student)

    whole = of(next(corpus(corpus_file, tokenizer).epoch(0)))
    halves = [of(next(corpus(corpus_file, tokenizer, batch_size=4, rank=r, world=2).epoch(0))) for r in (0, 1)]
    assert not gradients(teacher)
    assert len(whole) > 20
    for name, expected in whole.items():
        np.testing.assert_allclose((halves[0][name] + halves[1][name]) / 2, expected, atol=1e-5, err_msg=name)


def test_student_is_the_shape_and_may_start_from_the_teacher():
    teacher = randomise(build("bert", tiny_config(num_hidden_layers=5)), 2)
    shape = Shape(2, 2, 16, 10)
    student = student_of(teacher, "bert", shape)
    head = 16 * 16 + 16 + 2 * 16 + 40
    assert sum(p.size for p in student.parameters()) == parameters(shape, Surroundings(40, 24, 16)) + head
    copy_leading(student, teacher)
    theirs = [layer for layer in teacher.bert.encoder.layers]
    for own, index in zip(student.bert.encoder.layers, (0, 4)):
        np.testing.assert_array_equal(own.linear1.weight.numpy(), theirs[index].linear1.weight.numpy()[:, :10])
        np.testing.assert_array_equal(own.linear2.weight.numpy(), theirs[index].linear2.weight.numpy()[:10])
        np.testing.assert_array_equal(
            own.self_attn.q_proj.weight.numpy(), theirs[index].self_attn.q_proj.weight.numpy()
        )
    same = student_of(teacher, "bert", Shape(5, 2, 16, 24))
    copy_leading(same, teacher)
    ids, types, labels = masked_batch()
    same.eval(), teacher.eval()
    places = masked_of(labels).places
    np.testing.assert_allclose(same(ids, types, places).numpy(), teacher(ids, types, places).numpy(), atol=1e-5)
    for too_large in (Shape(6, 2, 16, 24), Shape(2, 2, 32, 24)):
        with pytest.raises(UserError, match="`initialise` teacher"):
            copy_leading(student_of(teacher, "bert", too_large), teacher)


def command(teacher, corpus_file, output, *more):
    base = ["pretrain", "--teacher", str(teacher), "--corpus", str(corpus_file), "--output_dir", str(output)]
    base += "--device cpu --batch_size 8 --held_out 20 --max_seq_length 16 --logging_steps 5 --seed 3".split()
    return main([*base, *map(str, more)])


@pytest.mark.slow
def test_pretrained_shape_learns_resumes_and_finetunes(tiny_bert_dir, corpus_file, glue_dir, tmp_path, monkeypatch):
    run = [
        "--shape",
        "1,2,16,24",
        "--learning_rate",
        "3e-3",
        "--adam_epsilon",
        "1e-3",
        "--max_steps",
        40,
        "--save_steps",
        10,
    ]
    run += ["--teacher_steps", 25, "--teacher_learning_rate", "3e-3"]
    assert command(tiny_bert_dir, corpus_file, tmp_path / "a", *run) == 0
    results = json.loads((tmp_path / "a" / "results.json").read_text())
    history = [entry["scores"]["loss"] for entry in results["history"]]
    assert len(history) == 4
    assert history[-1] < history[0]
    assert results["teacher"]["accuracy"] > 0
    head = 16 * 16 + 16 + 2 * 16 + len(VOCABULARY)
    around = Surroundings(len(VOCABULARY), 64, 2)
    assert results["parameters"] == parameters(Shape(1, 2, 16, 24), around) + head

    with interrupted_after(25 + 17, monkeypatch):
        assert command(tiny_bert_dir, corpus_file, tmp_path / "b", *run) == 130
    assert command(tiny_bert_dir, corpus_file, tmp_path / "b", *run, "--resume") == 0
    one, two = (read_weights(tmp_path / name / "last" / "model.safetensors") for name in ("a", "b"))
    assert one.keys() == two.keys()
    assert not [name for name in one if (one[name] != two[name]).any()]

    finetune = ["--model_name_or_path", str(tmp_path / "a"), "--task_name", "SST-2", "--data_dir", str(glue_dir)]
    finetune += ["--output_dir", str(tmp_path / "ft"), "--device", "cpu", "--max_steps", "3", "--max_seq_length", "16"]
    assert run_glue.main(finetune) == 0
    _model, _, record = load_model(tmp_path / "ft" / "last")
    assert record.shape.num_layers == 1
    assert record.shape.ffn_size == 24


def test_a_shape_file_of_the_search_is_taken_and_mlm_alone_needs_no_teacher_head(tiny_bert_dir, corpus_file, tmp_path):
    (tmp_path / "shape.json").write_text(json.dumps(Shape(2, 2, 16, 8).to_json()))
    more = ["--shape", tmp_path / "shape.json", "--max_steps", 2, "--kd_weight", 0]
    assert command(tiny_bert_dir, corpus_file, tmp_path / "o", *more) == 0
    results = json.loads((tmp_path / "o" / "results.json").read_text())
    assert results["shape"] == Shape(2, 2, 16, 8).to_json()
    assert results["teacher"] == {}


def test_mistakes_are_told_in_one_line(tiny_bert_dir, corpus_file, tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("a film\nna\xefve\n".encode("latin-1"))
    good = ["--shape", "1,2,16,24", "--max_steps", 2]
    cases = [
        ([*good], "--teacher_steps"),
        (["--shape", "1,2,16"], "layers,heads,hidden,ffn"),
        (["--shape", "1,3,16,24"], "do not divide"),
        ([*good, "--kd_weight", 0, "--mlm_weight", 0], "leaves no loss"),
        ([*good, "--max_seq_length", 65], "64 tokens"),
        ([*good, "--corpus", tmp_path / "none.txt"], "no such file"),
        ([*good, "--corpus", tmp_path / "latin.txt"], "line 2"),
        ([*good, "--held_out", 200], "cannot be held out"),
        ([*good, "--kd_weight", 0, "--initialise", "teacher", "--shape", "9,4,32,64"], "layers 9, and it has 4"),
    ]
    for number, (more, words) in enumerate(cases):
        code = command(tiny_bert_dir, corpus_file, tmp_path / str(number), *more)
        error = capsys.readouterr().err
        assert code == 2, (more, error)
        assert words in error, (more, error)
        assert "Traceback" not in error, (more, error)
