"""tokenizer.json has PaddleNLP's tokens, or it is not written; a trimmed vocabulary keeps what it kept."""

import json

import numpy as np
import paddle
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import VOCABULARY, build
from helpers.paths import SHARED
from ofa_bert.errors import UserError
from ofa_bert.export.onnx.writer import Form, write
from ofa_bert.export.tokenizer import write_fast_tokenizer
from ofa_bert.models.encoder import backbone
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.vocabulary import trim_vocabulary

Tokenizer = pytest.importorskip("tokenizers").Tokenizer

TEXTS = (("a film is not good", None), ("the plot was dull .", "but they liked it , very"))


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_wordpiece_families(model_type, tmp_path):
    tokenizer = tokenizer_for(tmp_path, model_type)
    note = write_fast_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note["file"] == "tokenizer.json"
    assert note["checked_texts"] > 15
    fast = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text, pair in TEXTS:
        wanted = tokenizer(text, text_pair=pair, return_token_type_ids=True)
        found = fast.encode(text, pair)
        assert (found.ids, found.type_ids) == (wanted["input_ids"], wanted["token_type_ids"])


@pytest.mark.parametrize("lower", [True, False])
def test_a_real_vocabulary(lower, tmp_path):
    from paddlenlp.transformers import BertTokenizer

    source = SHARED / "models" / "gte-small" / "vocab.txt"
    if not source.is_file():
        pytest.skip("no real vocabulary here")
    tokenizer = BertTokenizer(str(source), do_lower_case=lower)
    assert write_fast_tokenizer(tokenizer, tmp_path)["file"] == "tokenizer.json"


def byte_pair_tokenizer(directory):
    from paddlenlp.transformers import RobertaBPETokenizer
    from paddlenlp.transformers.gpt.tokenizer import bytes_to_unicode

    letters = list(bytes_to_unicode().values())
    merges = [("Ġ", "f"), ("i", "l"), ("Ġf", "il"), ("Ġfil", "m"), ("o", "o"), ("g", "oo"), ("goo", "d"), ("Ġ", "good")]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(a + b for a, b in merges), "<mask>"]
    (directory / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (directory / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    return RobertaBPETokenizer(str(directory / "vocab.json"), str(directory / "merges.txt"))


def test_byte_level_bpe(tmp_path):
    tokenizer = byte_pair_tokenizer(tmp_path)
    note = write_fast_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note["file"] == "tokenizer.json", note
    assert "Ġfilm" in Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("good film").tokens


def test_a_tokenizer_that_differs_leaves_no_file(tmp_path):
    tokenizer = tokenizer_for(tmp_path, "bert")
    real = tokenizer.wordpiece_tokenizer.tokenize
    tokenizer.wordpiece_tokenizer.tokenize = lambda text: ["[UNK]"] if text == "plot" else real(text)
    note = write_fast_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note["file"] is None
    assert "the plot was dull" in note["reason"]
    assert not (tmp_path / "tokenizer.json").exists()
    tokenizer.basic_tokenizer.never_split.add("dull")
    assert "neither a WordPiece nor" in write_fast_tokenizer(tokenizer, tmp_path)["reason"]


def words(path, *tokens):
    path.write_text("\n".join(tokens) + "\n")
    return path


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_trimmed_model_answers_as_before(model_type, tmp_path):
    model = build(model_type)
    tokenizer = tokenizer_for(tmp_path, model_type)
    texts = ["a film is good", "the plot is dull . x"]
    kept = "a film is good the plot dull . x".split()

    def answers(current):
        rows = current(texts, padding=True, return_token_type_ids=True)
        return [np.asarray(rows[key]) for key in ("input_ids", "token_type_ids")]

    width = backbone(model).embeddings.word_embeddings.weight.shape[1]
    before = answers(tokenizer)
    wanted = model(*map(paddle.to_tensor, before)).numpy()
    vocabulary = tokenizer.get_vocab()
    smaller, rows = trim_vocabulary(model, tokenizer, words(tmp_path / "kept.txt", *kept, "unheard-of"), tmp_path)
    assert {token: rows[place] for token, place in smaller.get_vocab().items()}.items() <= vocabulary.items()
    count = len(rows)
    assert count == len(kept) + 5 == model.config.vocab_size == len(smaller.get_vocab())
    after = answers(smaller)
    assert after[0].max() < count
    np.testing.assert_allclose(model(*map(paddle.to_tensor, after)).numpy(), wanted, atol=1e-6)
    assert backbone(model).embeddings.word_embeddings.weight.shape == [count, width]
    write(model, tmp_path / "model.onnx", Form())  # the smaller table is what is exported
    smaller.save_pretrained(str(tmp_path / "saved"))
    again = type(smaller).from_pretrained(str(tmp_path / "saved"))
    assert again.get_vocab() == smaller.get_vocab()
    assert again.tokenize("bright film")[0] == "[UNK]"


def test_padding_may_move(tmp_path):
    moved = [*VOCABULARY[1:], "[PAD]"]
    (tmp_path / "vocab.txt").write_text("\n".join(moved) + "\n")
    from paddlenlp.transformers import RobertaChineseTokenizer

    tokenizer = RobertaChineseTokenizer(str(tmp_path / "vocab.txt"))
    pad = tokenizer.pad_token_id
    model = build("roberta", vocab_size=len(moved), pad_token_id=pad)
    texts = ["a film", "the plot was dull"]

    def logits(current):
        rows = current(texts, padding=True, return_token_type_ids=True)
        return model(*(paddle.to_tensor(rows[key]) for key in ("input_ids", "token_type_ids"))).numpy()

    wanted = logits(tokenizer)
    smaller, _ = trim_vocabulary(
        model, tokenizer, words(tmp_path / "kept.txt", *"a film the plot was dull".split()), tmp_path
    )
    assert smaller.pad_token_id < pad == len(moved) - 1
    np.testing.assert_allclose(logits(smaller), wanted, atol=1e-6)


def test_files_that_cannot_trim(tmp_path):
    model, tokenizer = build(), tokenizer_for(tmp_path, "bert")
    with pytest.raises(UserError, match="cannot be read"):
        trim_vocabulary(model, tokenizer, tmp_path / "missing", tmp_path)
    with pytest.raises(UserError, match="none of the model's tokens"):
        trim_vocabulary(model, tokenizer, words(tmp_path / "kept.txt", "nothing", "known"), tmp_path)
    (tmp_path / "kept.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        trim_vocabulary(model, tokenizer, tmp_path / "kept.txt", tmp_path)
    with pytest.raises(UserError, match="no WordPiece tokenizer"):
        trim_vocabulary(model, byte_pair_tokenizer(tmp_path), words(tmp_path / "kept.txt", "good"), tmp_path)
