"""Predictor: labels and probabilities in the order of the texts, tokens as in training, and no Paddle for it."""

import itertools
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.handmade_bundle import LABELS, change_manifest, digests_of, expected, make_bundle
from helpers.models import WORDS
from helpers.paths import ROOT
from ofa_bert.data.encoding.batches import plan_batches
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.text_tokenizer import longest_first
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime import predictor as runtime_predictor
from ofa_bert.runtime.predictor import Prediction, Predictor
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.tasks.task import Example

BLOCKED = ("paddle", "paddlenlp", "paddleslim", "torch")


def sentences(count, longest=12, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randrange(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def pair_bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("pairs") / "b", columns=("a", "b"), limit=13)


@pytest.fixture(scope="module")
def paddle_tokenizer(bundle, tmp_path_factory):
    from paddlenlp.transformers import BertTokenizer

    from helpers.handmade_bundle import VOCABULARY

    path = tmp_path_factory.mktemp("tokenizer") / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n")
    return BertTokenizer(str(path), do_lower_case=True)


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def reference(tokenizer, texts, limit):
    """Logits [N, C], one text at a time without padding, with PaddleNLP's tokens."""
    pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
    encoded = encode([Example(a, b, 0) for a, b in pairs], tokenizer, limit, progress=False)
    return np.concatenate([expected(i[None], t[None]) for i, t in zip(encoded.input_ids, encoded.token_type_ids)])


@pytest.mark.parametrize("limits", [{}, {"batch_size": 1}, {"batch_size": 7, "max_tokens_per_batch": 40}])
def test_predictions_are_the_models_in_the_order_of_the_texts(bundle, limits, paddle_tokenizer):
    texts = sentences(60)
    wanted = softmax(reference(paddle_tokenizer, texts, 16).astype("f8"))
    with Predictor(bundle, threads=1, **limits) as predictor:
        assert predictor.labels == tuple(LABELS)
        found = predictor.predict(texts)
    assert [item.label for item in found] == [LABELS[best] for best in wanted.argmax(-1)]
    np.testing.assert_allclose([item.probabilities for item in found], wanted, atol=1e-5)
    np.testing.assert_allclose([item.probability for item in found], wanted.max(-1), atol=1e-5)
    assert {item.value for item in found} == {None}


def test_pairs_too_long_for_the_model(pair_bundle, paddle_tokenizer):
    first, second = sentences(80, 20, seed=1), sentences(80, 20, seed=2)
    texts = list(zip(first, second))
    with Predictor(pair_bundle, threads=1) as predictor:
        np.testing.assert_allclose(predictor.logits(texts), reference(paddle_tokenizer, texts, 13), atol=1e-4)
        assert predictor.predict([list(pair) for pair in texts[:2]]) == predictor.predict(texts[:2])


def test_every_way_of_cutting_a_pair_is_paddlenlps(pair_bundle, paddle_tokenizer):
    word = [" ".join(WORDS[:count]) for count in range(1, 14)]
    texts = [(a, b) for a in word for b in word]
    for limit in (4, 12, 13):
        examples = [Example(a, b, 0) for a, b in texts]
        wanted = encode(examples, paddle_tokenizer, limit, progress=False)
        input_ids, token_type_ids = load_text_encoder(pair_bundle, limit)(texts)
        for found, right in ((input_ids, wanted.input_ids), (token_type_ids, wanted.token_type_ids)):
            assert [ids.tolist() for ids in found] == [ids.tolist() for ids in right]
            assert {ids.dtype for ids in found} == {np.dtype("int64")}


def test_longest_first_takes_one_token_at_a_time():
    for first in range(12):
        for second in range(12):
            for room in range(first + second):
                a, b = first, second
                while a + b > room:
                    a, b = (a - 1, b) if a > b else (a, b - 1)
                assert longest_first(first, second, room) == (a, b), (first, second, room)


def test_regression(tmp_path):
    bundle = make_bundle(tmp_path / "b", labels=[])
    texts = sentences(5)
    with Predictor(bundle, threads=1) as predictor:
        found, logits = predictor.predict(texts), predictor.logits(texts)
    assert found == [Prediction(None, None, float(value), ()) for (value,) in logits]


def test_labels_without_names_are_numbered(tmp_path):
    bundle = make_bundle(tmp_path / "b", task=None, labels=LABELS)
    change_manifest(bundle, labels=[])
    with Predictor(bundle, threads=1) as predictor:
        assert predictor.labels == ("0", "1", "2")
        assert predictor.predict(["good film"])[0].label in predictor.labels
        with pytest.raises(UserError, match="text 1: .*; the texts before it are single texts"):
            predictor.predict(["good", ("a", "b")])


def test_no_texts_and_empty_texts(bundle):
    with Predictor(bundle, threads=1) as predictor:
        assert predictor.predict([]) == []
        assert predictor.logits([]).shape == (0, 3)
        assert len(predictor.predict([""])) == 1


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("a film", "a list of texts, not the single text 'a film'"),
        (["good", 3], "text 1: 3 is neither a string nor a pair of strings"),
        (["good", None], "text 1: None is neither"),
        ([("a", "b", "c")], "text 0: .* is neither"),
        ([("a", "b")], "text 0: .*; the model was trained on single texts"),
    ],
)
def test_what_is_no_text(bundle, texts, message):
    with Predictor(bundle, threads=1) as predictor, pytest.raises(UserError, match=message):
        predictor.predict(texts)


def test_a_pair_model_wants_pairs(pair_bundle):
    refused = pytest.raises(UserError, match=r"the model was trained on pairs \(a, b\)")
    with Predictor(pair_bundle, threads=1) as predictor, refused:
        predictor.predict(["one"])


def recorded(monkeypatch):
    """The shapes of the batches that the model is given."""
    shapes, real = [], runtime_predictor.open_model

    def opened(*arguments, **named):
        model = real(*arguments, **named)

        def run(input_ids, token_type_ids):
            shapes.append(input_ids.shape)
            return model.run(input_ids, token_type_ids)

        return model._replace(run=run)

    monkeypatch.setattr(runtime_predictor, "open_model", opened)
    return shapes


def test_batches_hold_texts_of_about_one_length(bundle, monkeypatch):
    shapes = recorded(monkeypatch)
    texts = ["a"] * 20 + [" ".join(WORDS[:10])] * 9 + ["good film"] * 5
    with Predictor(bundle, threads=1, batch_size=8, max_tokens_per_batch=48) as predictor:
        predictor.predict(texts)
    assert shapes[0] == (4, 12)
    assert (8, 3) in shapes
    assert sum(rows for rows, _ in shapes) == 34
    assert all(rows <= 8 and (rows * length <= 48 or rows == 1) for rows, length in shapes)


@pytest.mark.parametrize(("threads", "rows"), [(1, 32), (2, 64)])
def test_by_default_a_batch_fits_the_caches_of_its_threads(bundle, threads, rows, monkeypatch):
    shapes = recorded(monkeypatch)
    with Predictor(bundle, threads=threads) as predictor:
        predictor.predict([" ".join(WORDS[:14])] * 70)
    assert shapes[0] == (rows, 16)


def test_long_lists_are_tokenized_in_parts(bundle, monkeypatch):
    monkeypatch.setattr(runtime_predictor, "CHUNK", 10)
    texts = sentences(34)
    with Predictor(bundle, threads=1) as predictor:
        whole = predictor.logits(texts)
        np.testing.assert_allclose(whole, np.concatenate([predictor.logits([text]) for text in texts]), atol=1e-5)


def test_plan_parts_the_indices():
    lengths = np.random.default_rng(0).integers(1, 200, 333)
    groups = plan_batches(lengths, 16, 512)
    assert sorted(np.concatenate(groups)) == list(range(333))
    assert all(len(group) == 1 or len(group) * lengths[group].max() <= 512 for group in groups)
    assert all(lengths[a].min() >= lengths[b].max() for a, b in itertools.pairwise(groups))
    assert plan_batches(np.array([900]), 4, 10)[0].tolist() == [0]
    assert plan_batches(np.array([], int), 4, 10) == []


def test_workers_answer_as_the_process_itself_does(bundle):
    texts = sentences(150)
    with Predictor(bundle, threads=1) as one, Predictor(bundle, workers=2, threads=1, batch_size=4) as two:
        pids = two._pool.pids
        wanted, first = one.logits(texts), two.logits(texts)
        np.testing.assert_allclose(first, wanted, atol=1e-5)
        assert two.predict(texts[:1]) == one.predict(texts[:1])
    with pytest.raises(UserError, match="this Predictor is closed"):
        two.predict(texts)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_workers_refuse_what_the_process_itself_refuses(bundle):
    with pytest.raises(UserError, match="holds no onnx model in fp16"):
        Predictor(bundle, "onnx_runtime", "fp16", workers=2, threads=1)


def test_numbers_that_are_not_finite(tmp_path):
    bundle = make_bundle(tmp_path / "b", scale=1e38)
    with Predictor(bundle, threads=1) as predictor, pytest.raises(RunError, match="not finite in fp32"):
        predictor.predict(sentences(20))


@pytest.mark.parametrize(("name", "value"), [("threads", 0), ("batch_size", 0), ("max_tokens_per_batch", -1)])
def test_limits_must_be_positive(bundle, name, value):
    with pytest.raises(UserError, match=f"{name} {value}: must be above 0"):
        Predictor(bundle, **{name: value})
    with pytest.raises(UserError, match="workers -1: must not be negative"):
        Predictor(bundle, workers=-1)


def test_a_damaged_tokenizer(tmp_path):
    path = make_bundle(tmp_path / "b") / "tokenizer.json"
    path.write_bytes(b"{" * path.stat().st_size)
    change_manifest(path.parent, files=digests_of(path.parent))
    with pytest.raises(UserError, match="tokenizer.json: not a tokenizer: .*export the bundle again"):
        Predictor(path.parent)


def test_truncation_and_padding_in_the_file_are_not_used(bundle, tmp_path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    found = [load_text_encoder(where, 16)(sentences(9)) for where in (bundle, tmp_path)]
    for one, other in zip(*found):
        assert [ids.tolist() for ids in one] == [ids.tolist() for ids in other]


def test_without_tokenizer_json_paddlenlps_tokenizer_serves(bundle, paddle_tokenizer, tmp_path):
    paddle_tokenizer.save_pretrained(str(tmp_path))
    other = make_bundle(tmp_path / "b", tokenizer=False)
    for file in tmp_path.glob("*.*"):
        file.rename(other / file.name)
    texts = sentences(30, 30)
    with Predictor(bundle, threads=1) as one, Predictor(other, threads=1) as two:
        np.testing.assert_allclose(one.logits(texts), two.logits(texts), atol=1e-5)


WITHOUT_PADDLE = """
import importlib.abc, sys
sys.path.insert(0, sys.argv[2])
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[3:]:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
from ofa_bert.runtime import Predictor
with Predictor(sys.argv[1], threads=1) as predictor:
    print(*[prediction.label for prediction in predictor.predict(["a good film", "dull"])])
print(*sorted(name for name in sys.modules if name.startswith("ofa_bert.")))
"""


def without_paddle(bundle):
    command = [sys.executable, "-c", WITHOUT_PADDLE, str(bundle), str(ROOT), *BLOCKED]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


def test_the_runtime_needs_neither_paddle_nor_training_code(bundle):
    done = without_paddle(bundle)
    assert done.returncode == 0, done.stderr
    labels, modules = done.stdout.splitlines()
    assert labels.split()[0] in LABELS
    assert len(labels.split()) == 2
    allowed = {
        "bundle": "digest_cache digests engine_entry entries exit_entry exits manifest shape_fields",
        "data": "encoding file_text tagging",
        "data.encoding": "batches encoded",
        "data.tagging": "answer_windows labels",
        "data.tokenization": "character_table families saving second_cut sentencepiece_model text_tokenizer"
        " tokenizer_json windows words",
        "exits": "kept_curve layout loop outputs policy promise sweep token_table",
        "exits.criteria": "base certainty entropy margin normalised patience registry",
        "files": "atomic fields pickle_machine pickles reading weights",
        "runtime.answering": "collecting grouped",
        "runtime": "answering arguments exit_parts exit_tensors exits opening paddlenlp_tokenizer predictor"
        " processes texts tokenizer workers",
        "runtime.backends": "base onnx_runtime openvino paddle_inference registry tensorrt tensorrt_engine",
        "submodels": "values",
        "system": "accelerator environment nvidia owner packages",
        "tasks": "answer_metrics groups heads intervals kinds label_text metrics passages questions"
        " ranking_metrics task",
        "tasks.kinds": "answers base choices classification multilabel ranking regression registry tokens",
    }
    names = {"errors", "numerics", "progress", "reporting", *allowed}
    names |= {f"{package}.{name}" for package, several in allowed.items() for name in several.split()}
    assert set(modules.split()) == {f"ofa_bert.{name}" for name in names}


def test_without_paddle_and_without_tokenizer_json(tmp_path):
    done = without_paddle(make_bundle(tmp_path / "b", tokenizer=False))
    assert done.returncode == 1
    assert "has no tokenizer.json, its tokenizer needs PaddleNLP, which does not load" in done.stderr
