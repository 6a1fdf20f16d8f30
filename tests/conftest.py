"""Fixtures that many tests share, made once in a session."""

from __future__ import annotations

import pytest

from helpers.data_files import write_sentiment_tsv
from helpers.models import VOCABULARY
from ofa_bert.system import environment

environment.prepare()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """`slow(but=ID)`: of a test with parameters the case of that id stays among the quick ones."""
    for item in items:
        kept = [mark.kwargs["but"] for mark in item.iter_markers("slow") if "but" in mark.kwargs]
        if kept and item.callspec.id in kept:
            item.own_markers[:] = [mark for mark in item.own_markers if mark.name != "slow"]


@pytest.fixture(scope="session")
def glue_dir(tmp_path_factory):
    """A directory in SST-2's layout with a task that a tiny model learns in seconds."""
    directory = tmp_path_factory.mktemp("SST-2")
    write_sentiment_tsv(directory / "train.tsv", 320, seed=1)
    write_sentiment_tsv(directory / "dev.tsv", 96, seed=2)
    return directory


@pytest.fixture(scope="session")
def tiny_bert_dir(tmp_path_factory):
    """A tiny pretrained encoder in PaddleNLP's layout, written by PaddleNLP itself."""
    import paddle
    from paddlenlp.transformers import BertConfig, BertModel, BertTokenizer

    directory = tmp_path_factory.mktemp("tiny-bert")
    paddle.seed(3)
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        type_vocab_size=2,
        initializer_range=0.1,
    )
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    BertModel(config).save_pretrained(str(directory))
    BertTokenizer(str(directory / "vocab.txt")).save_pretrained(str(directory))
    return directory
