"""PaddleNLP cuts texts as our tokenizer.json does, from our files too; a trimmed vocabulary keeps what it kept."""

import itertools

import numpy as np
import paddle
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import VOCABULARY, build
from helpers.paths import SHARED
from helpers.tokenizer_files import ADDED, SPELLINGS, add_tokens, write_byte_pairs, write_vocabulary
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.data.tokenization.vocabulary_files import is_cut_again
from ofa_bert.errors import UserError
from ofa_bert.export.bundle import export_bundle
from ofa_bert.export.onnx.form import Form
from ofa_bert.export.onnx.writer import write
from ofa_bert.export.tokenizer import ODD_TEXTS, write_tokenizer
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import backbone
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.paddlenlp_tokenizer import by_unicode_alone, compare_with_paddlenlp, differing, from_directory
from ofa_bert.models.pretrained import Source, load_tokenizer
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.vocabulary import trim_vocabulary
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.tasks.task import Example

Tokenizer = pytest.importorskip("tokenizers").Tokenizer

TEXTS = (("a film is not good", None), ("the plot was dull .", "but they liked it , very"))
FAMILIES = [name for name in MODEL_TYPES if not is_cut_again(name)]  # those of a vocab.txt; others have their own tests


def saved(tokenizer, directory):
    """PaddleNLP's own tokenizer from the files that ours wrote."""
    directory.mkdir()
    tokenizer.save_pretrained(directory)
    return from_directory(directory, tokenizer.family)


def loaded(directory, family):
    tokenizer_for(directory, family)  # writes vocab.txt
    return read_tokenizer(directory, family)


@pytest.mark.parametrize("family", FAMILIES)
def test_paddlenlp_cuts_alike(family, tmp_path):
    tokenizer = loaded(tmp_path, family)
    theirs = saved(tokenizer, tmp_path / "saved")
    texts = [*ODD_TEXTS, *itertools.pairwise(ODD_TEXTS), TEXTS[0][0], TEXTS[1]]
    assert differing(tokenizer, theirs, texts) == []
    assert theirs.get_vocab() == tokenizer.get_vocab()
    assert (theirs.pad_token_id, theirs.mask_token_id) == (tokenizer.pad_token_id, tokenizer.mask_token_id)
    assert set(theirs.all_special_ids) == set(tokenizer.all_special_ids)
    note = write_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note == {"file": "tokenizer.json", "checked_texts": 2 * len(ODD_TEXTS) + 1, "other_in_paddlenlp": 0}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_paddlenlp_finds_the_added_tokens_of_what_is_saved(spelling, tmp_path):
    tokenizer = read_tokenizer(add_tokens(write_vocabulary(tmp_path / "m"), spelling), "bert")
    theirs = saved(tokenizer, tmp_path / "saved")
    assert differing(tokenizer, theirs, ["<user> a film", "<USER> bad<url>film", ("<url>", "the<user>")]) == []
    assert theirs.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("lower", [True, False])
def test_a_real_vocabulary(lower, tmp_path):
    source = SHARED / "models" / "gte-small" / "vocab.txt"
    if not source.is_file():
        pytest.skip("no real vocabulary here")
    directory = write_vocabulary(tmp_path / "m", source.read_text("utf-8").split("\n")[:-1], do_lower_case=lower)
    tokenizer = read_tokenizer(directory, "bert")
    theirs = saved(tokenizer, tmp_path / "saved")
    assert differing(tokenizer, theirs, [*ODD_TEXTS, *itertools.pairwise(ODD_TEXTS)]) == []


def test_byte_level_bpe(tmp_path):
    tokenizer = read_tokenizer(write_byte_pairs(tmp_path / "m"), "roberta")
    theirs = saved(tokenizer, tmp_path / "saved")
    assert differing(tokenizer, theirs, [*ODD_TEXTS, *itertools.pairwise(ODD_TEXTS), "good film"]) == []
    assert "\u0120film" in Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json")).encode("good film").tokens
    assert theirs.get_vocab() == tokenizer.get_vocab()


def test_new_characters_are_told_from_other_cuts(tmp_path, caplog):
    tokenizer = loaded(tmp_path, "bert")
    theirs = saved(tokenizer, tmp_path / "saved")
    new = [f"a{chr(point)}film" for point in range(0x1FA00, 0x1FB00)]
    different = [text for text, *_ in differing(tokenizer, theirs, new)]
    assert 0 < len(different) < len(new)
    assert by_unicode_alone(tokenizer, theirs, different)
    assert compare_with_paddlenlp(tokenizer, ["a film", *different]) == len(different)
    assert "Unicode of another version" in caplog.text
    assert compare_with_paddlenlp(tokenizer, ["a film", "the plot"]) == 0
    real = theirs.wordpiece_tokenizer.tokenize
    theirs.wordpiece_tokenizer.tokenize = lambda text: ["[UNK]"] if text == "plot" else real(text)
    assert not by_unicode_alone(tokenizer, theirs, ["the plot", *different])


def test_a_paddlenlp_tokenizer_that_differs_leaves_no_file(tmp_path):
    tokenizer = tokenizer_for(tmp_path, "bert")
    note = write_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note["file"] == "tokenizer.json"
    (tmp_path / "tokenizer.json").unlink()
    real = tokenizer.wordpiece_tokenizer.tokenize
    tokenizer.wordpiece_tokenizer.tokenize = lambda text: ["[UNK]"] if text == "plot" else real(text)
    note = write_tokenizer(tokenizer, tmp_path, TEXTS)
    assert note["file"] is None
    assert "the plot was dull" in note["reason"]
    assert not (tmp_path / "tokenizer.json").exists()
    tokenizer.basic_tokenizer.never_split.add("dull")
    assert "never_split" in write_tokenizer(tokenizer, tmp_path)["reason"]


def test_what_only_paddlenlp_knows_is_cut_by_paddlenlp_everywhere(tmp_path):
    directory = write_vocabulary(tmp_path / "m", [*VOCABULARY, "a-b", "-"], never_split=["a-b"])
    source = Source("m", {}, directory, str(directory), {}, "bert")
    tokenizer = load_tokenizer(source, "bert", 29)
    assert type(tokenizer).__name__ == "BertTokenizer"
    (tmp_path / "b").mkdir()
    assert write_tokenizer(tokenizer, tmp_path / "b", TEXTS)["file"] is None
    trained = encode([Example("a-b film", None, 0)], tokenizer, 16, progress=False)
    deployed = load_text_encoder(tmp_path / "b", 16)(["a-b film"])
    assert trained.input_ids[0].tolist() == deployed[0][0].tolist() == [2, 27, 6, 3]


def batch_of_texts(tokenizer, texts):
    """input_ids and token_type_ids [B, T], in the order of the texts."""
    encoded = encode([Example(text, None, 0) for text in texts], tokenizer, 32, progress=False)
    batch = next(eval_batches(encoded, len(texts), tokenizer.pad_token_id))
    order = np.argsort(batch.index)
    return [batch.input_ids[order], batch.token_type_ids[order]]


def words(path, *tokens):
    path.write_text("\n".join(tokens) + "\n")
    return path


@pytest.mark.parametrize("ours", [True, False], ids=["tokenizer.json", "paddlenlp"])
@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_trimmed_model_answers_as_before(model_type, ours, tmp_path):
    model = build(model_type)
    tokenizer = loaded(tmp_path, model_type) if ours else tokenizer_for(tmp_path, model_type)
    texts = ["a film is good", "the plot is dull . x"]
    kept = "a film is good the plot dull . x".split()

    def answers(current):
        return batch_of_texts(current, texts)

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
    again = from_directory(tmp_path / "saved", model_type)
    assert again.get_vocab() == smaller.get_vocab()
    assert again.tokenize("bright film")[0] == "[UNK]"


@pytest.mark.parametrize("ours", [True, False], ids=["tokenizer.json", "paddlenlp"])
def test_padding_may_move(ours, tmp_path):
    moved = [*VOCABULARY[1:], "[PAD]"]
    (tmp_path / "vocab.txt").write_text("\n".join(moved) + "\n")
    from paddlenlp.transformers import RobertaChineseTokenizer

    theirs = RobertaChineseTokenizer(str(tmp_path / "vocab.txt"))
    tokenizer = read_tokenizer(tmp_path, "roberta") if ours else theirs
    pad = tokenizer.pad_token_id
    model = build("roberta", vocab_size=len(moved), pad_token_id=pad)
    texts = ["a film", "the plot was dull"]

    def logits(current):
        return model(*map(paddle.to_tensor, batch_of_texts(current, texts))).numpy()

    wanted = logits(tokenizer)
    smaller, _ = trim_vocabulary(
        model, tokenizer, words(tmp_path / "kept.txt", *"a film the plot was dull".split()), tmp_path
    )
    assert smaller.pad_token_id < pad == len(moved) - 1
    np.testing.assert_allclose(logits(smaller), wanted, atol=1e-6)


@pytest.mark.parametrize("spelling", SPELLINGS[:2])
def test_trimming_keeps_added_tokens_reachable(spelling, tmp_path):
    tokenizer = read_tokenizer(add_tokens(write_vocabulary(tmp_path / "m"), spelling), "bert")
    model = build(vocab_size=len(tokenizer))
    texts = ["<user> a film", "bad<url>film"]
    before = batch_of_texts(tokenizer, texts)
    wanted = model(*map(paddle.to_tensor, before)).numpy()
    smaller, rows = trim_vocabulary(model, tokenizer, words(tmp_path / "kept.txt", "a", "film", "bad"), tmp_path)
    after = batch_of_texts(smaller, texts)
    np.testing.assert_array_equal(rows[after[0]], before[0])
    np.testing.assert_allclose(model(*map(paddle.to_tensor, after)).numpy(), wanted, atol=1e-6)
    assert list(rows[-2:]) == list(ADDED.values())
    assert differing(smaller, saved(smaller, tmp_path / "saved"), texts) == []


@pytest.mark.slow
@pytest.mark.parametrize("trim", [False, True], ids=["whole", "trimmed"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_added_tokens_from_training_to_prediction(spelling, trim, tmp_path):
    """What load_model read and save_model kept is what a bundle cuts with: a label that hangs on them stays."""
    directory = add_tokens(write_vocabulary(tmp_path / "m"), spelling)
    save_model(tmp_path / "best", build(layers=1, vocab_size=29), read_tokenizer(directory, "bert"), ModelRecord())
    model, tokenizer, _ = load_model(tmp_path / "best")
    model.eval()
    texts = ["<user> a film", "a film", "bad<url>film", "a \U0001fae8 film"]
    ids, types = batch_of_texts(tokenizer, texts)
    assert set(ADDED.values()) <= set(ids.ravel().tolist())
    wanted = model(paddle.to_tensor(ids), paddle.to_tensor(types)).numpy()
    if trim:
        kept = words(tmp_path / "kept.txt", "a", "film", "bad")
        tokenizer, _ = trim_vocabulary(model, tokenizer, kept, tmp_path)
    export_bundle(model, tokenizer, ModelRecord(), tmp_path / "b", 16, onnx=True)
    with Predictor(tmp_path / "b", threads=1) as predictor:
        np.testing.assert_allclose(predictor.logits(texts), wanted, atol=1e-4)


def test_trimming_keeps_the_added_tokens_of_paddlenlps_tokenizers(tmp_path):
    directory = write_vocabulary(tmp_path / "m", never_split=["film"])
    tokenizer = from_directory(add_tokens(directory, "added_tokens.json"), "bert")
    smaller, rows = trim_vocabulary(
        build(vocab_size=29), tokenizer, words(tmp_path / "kept.txt", "a", "film"), tmp_path
    )
    ids = batch_of_texts(smaller, ["<user> a <url>"])[0]
    assert rows[ids].tolist() == [[2, ADDED["<user>"], 5, ADDED["<url>"], 3]]


def test_files_that_cannot_trim(tmp_path):
    model, tokenizer = build(), tokenizer_for(tmp_path, "bert")
    with pytest.raises(UserError, match="cannot be read"):
        trim_vocabulary(model, tokenizer, tmp_path / "missing", tmp_path)
    with pytest.raises(UserError, match="none of the model's tokens"):
        trim_vocabulary(model, tokenizer, words(tmp_path / "kept.txt", "nothing", "known"), tmp_path)
    (tmp_path / "kept.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        trim_vocabulary(model, tokenizer, tmp_path / "kept.txt", tmp_path)
    byte_pairs = read_tokenizer(write_byte_pairs(tmp_path / "r"), "roberta")
    with pytest.raises(UserError, match="byte-pair tokenizer is neither a WordPiece nor a Unigram"):
        trim_vocabulary(model, byte_pairs, words(tmp_path / "kept.txt", "good"), tmp_path)
