"""Tiny models with random weights everywhere, since fresh LayerNorms and biases hide errors."""

from __future__ import annotations

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
    from ofa_bert.models.families.registry import FAMILIES, model_class

    own = {"tinybert": {"fit_size": 24}, "ernie": {"use_task_id": True}, "electra": {"embedding_size": 16}}
    own["ernie_gram"] = {"embedding_size": hidden}
    own["ernie_m"] = {"pad_token_id": 0}  # as all others here
    config = model_class(model_type).config_class(
        vocab_size=vocab_size,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=ffn,
        max_position_embeddings=48,
        num_labels=num_labels,
        **{**({"type_vocab_size": 2} if FAMILIES[model_type].token_types else {}), **own.get(model_type, {}), **more},
    )
    model = model_class(model_type)(config)
    model.eval()
    return randomise(model, seed)


def batch_of(size=3, length=7, vocab_size=40, seed=0, num_labels=3, pad_id=0):
    """A padded batch of random ids as Paddle tensors; the first row is full, later ones are shorter."""
    import numpy as np

    from ofa_bert.data.encoding.batches import Batch
    from ofa_bert.training.evaluation import to_tensors

    rng = np.random.default_rng(seed)
    ids = rng.integers(5, vocab_size, [size, length]).astype("int64")
    types = (np.arange(length) >= length // 2).astype("int64") * np.ones([size, 1], dtype="int64")
    for row in range(1, size):
        keep = max(2, length - 2 * row)
        ids[row, keep:], types[row, keep:] = pad_id, 0
    labels = rng.integers(0, num_labels, [size]).astype("int64")
    return to_tensors(Batch(ids, types, labels, np.arange(size)))
