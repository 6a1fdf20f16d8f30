"""Copies of texts for distillation: near words in the place of some, everything else as it was."""

import json

import numpy as np
import pytest

from helpers.directories import distil_arguments as arguments
from helpers.models import VOCABULARY
from ofa_bert import __main__ as commands
from ofa_bert.data.encoding.augmentation import NEAREST, SHARE, Vocabulary, augment, neighbours
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.files.kept import kept_content

PIECES = [*VOCABULARY, "un", "##heard", "3rd"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    from paddlenlp.transformers import BertTokenizer

    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return BertTokenizer(str(path))


def ids_of(text):
    return np.asarray([PIECES.index(word) for word in f"[CLS] {text} [SEP]".split()])


def test_neighbours_are_those_of_brute_force():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(700, 8)).astype("f4") * rng.uniform(0.1, 9, (700, 1))
    candidates = np.flatnonzero(rng.random(700) < 0.7)
    tokens = np.arange(600)
    found = neighbours(embeddings, tokens, candidates)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    for token in (0, 13, 511, 512, 599):
        others = candidates[candidates != token]
        best = others[np.argsort(-(unit[others] @ unit[token]), kind="stable")[:NEAREST]]
        assert found[token].tolist() == best.tolist()
    assert neighbours(embeddings, tokens, candidates[:1]) == {}
    assert len(neighbours(embeddings, tokens, candidates[:4])[599]) == 3


def test_words_of_one_token_are_told_from_pieces_and_marks(tokenizer):
    vocabulary = Vocabulary.of(tokenizer)
    ids = ids_of("un ##heard , a 3rd film un")
    assert vocabulary.single(ids).tolist() == [False, False, False, False, True, False, True, True, False]


def test_copies_keep_what_is_no_word_and_replace_about_the_share(tokenizer):
    texts = [ids_of("a film is un ##heard , not bad . they liked the plot") for _ in range(200)]
    types = [np.zeros(len(ids), np.int64) for ids in texts]
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(len(PIECES), 4))
    encoded = Encoded(texts, types, np.arange(200))
    more = augment(encoded, tokenizer, embeddings, 2, seed=1)
    assert len(more) == len(more.token_type_ids) == 600
    assert more.labels.tolist() == [*range(200)] * 3
    for ids, before in zip(more.input_ids[:200], texts):
        assert ids is before
    copies, source = np.stack(more.input_ids[200:]), texts[0]
    single = Vocabulary.of(tokenizer).single(source)
    assert (copies[:, ~single] == source[~single]).all()
    changed = (copies != source)[:, single]
    assert changed.mean() == pytest.approx(SHARE, abs=0.03)
    near = neighbours(embeddings, source[single], np.flatnonzero(Vocabulary.of(tokenizer).begins))
    for place in np.flatnonzero(single):
        assert set(copies[:, place]) - {source[place]} == set(near[source[place]].tolist())
    again = augment(encoded, tokenizer, embeddings, 2, seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(more.input_ids, again.input_ids))
    other = augment(encoded, tokenizer, embeddings, 2, seed=2)
    assert not all(np.array_equal(a, b) for a, b in zip(more.input_ids, other.input_ids))


@pytest.mark.slow
def test_a_student_learns_from_copies(models, glue_dir, tmp_path, capsys):
    options = "--batch_size 16 --num_train_epochs 1 --learning_rate 3e-3 --save_steps 99 --augment_copies 1".split()
    run = arguments(models, glue_dir, models / "small", tmp_path / "run", *options, "--state_weight", "0")
    assert commands.main(run) == 0
    assert "train: 640 texts with their copies" in capsys.readouterr().err
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["last"]["step"] == 40
    assert results["config"]["augment_copies"] == 1
    known = list((tmp_path / "run" / "token_cache").glob("teacher-*.logits"))
    assert [len(kept_content(path)) for path in known] == [4 * 640 * 2]
    assert commands.main([*run, "--label_weight", "1"]) == 2
    assert "texts without true labels" in capsys.readouterr().err
