"""Fixtures: tiny models with random weights everywhere, since fresh LayerNorms and biases hide errors."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ofa_bert.system import environment  # noqa: E402

environment.prepare()

SHARED = ROOT.parent / "shared"

WORDS = "a film is not good bad very the plot was but acting dull bright they said we liked hated it . ,".split()
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]


def randomise(model, seed=0):
    """Every parameter from a seeded normal distribution, LayerNorm weights around 1."""
    import numpy as np

    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        values = rng.normal(0.0, 0.2, parameter.shape)
        if "norm" in name and name.endswith("weight"):
            values += 1.0
        parameter.set_value(values.astype("float32"))
    return model


def build(model_type="bert", layers=4, hidden=32, heads=4, ffn=64, num_labels=3, seed=0, vocab_size=40, **more):
    """A tiny classification model of a family, in eval mode, with random weights."""
    import paddlenlp.transformers as families

    from ofa_bert.models.families.registry import model_class

    config_class = {
        "bert": "BertConfig",
        "ernie": "ErnieConfig",
        "roberta": "RobertaConfig",
        "tinybert": "TinyBertConfig",
    }[model_type]
    if model_type == "tinybert":
        more.setdefault("fit_size", 24)
    if model_type == "ernie":
        more.setdefault("use_task_id", True)
    config = getattr(families, config_class)(
        vocab_size=vocab_size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=48,
        type_vocab_size=2,
        num_labels=num_labels,
        **more,
    )
    model = model_class(model_type)(config)
    model.eval()
    return randomise(model, seed)


def batch_of(size=3, length=7, vocab_size=40, seed=0, num_labels=3, pad_id=0):
    """A padded batch of random ids as Paddle tensors; the first row is full, later ones are shorter."""
    import numpy as np

    from ofa_bert.data.batches import Batch
    from ofa_bert.training.evaluation import to_tensors

    rng = np.random.default_rng(seed)
    ids = rng.integers(5, vocab_size, [size, length]).astype("int64")
    types = (np.arange(length) >= length // 2).astype("int64") * np.ones([size, 1], dtype="int64")
    for row in range(1, size):
        keep = max(2, length - 2 * row)
        ids[row, keep:], types[row, keep:] = pad_id, 0
    labels = rng.integers(0, num_labels, [size]).astype("int64")
    return to_tensors(Batch(ids, types, labels, np.arange(size)))


def write_sentiment_tsv(path, rows, seed=0):
    """A learnable SST-2-like file: the label is whether a praising word stands in the sentence."""
    import random

    rng = random.Random(seed)
    good, bad, filler = ["good", "bright", "liked"], ["bad", "dull", "hated"], [w for w in WORDS if len(w) < 5]
    lines = ["sentence\tlabel"]
    for _ in range(rows):
        label = rng.randrange(2)
        words = rng.choices(filler, k=rng.randrange(3, 9))
        words.insert(rng.randrange(len(words)), rng.choice(good if label else bad))
        words = [w for w in words if w not in (bad if label else good)]
        lines.append(" ".join(words) + f"\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


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
