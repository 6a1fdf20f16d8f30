"""Models and sentences that are made on the spot: random, the same in every process."""

from __future__ import annotations

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.models.encoder import set_dropout
from ofa_bert.models.families.registry import model_class

CLASSES = 3
_FIRST = 5  # ids below are padding and marks


def bert(layers: int, hidden: int, heads: int, vocabulary: int, seed: int = 0) -> nn.Layer:
    """A BERT classifier in eval mode, no weight of which is 0 or 1 throughout: fresh LayerNorms hide errors."""
    cls = model_class("bert")
    config = cls.config_class(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=128,
        type_vocab_size=2,
        num_labels=CLASSES,
    )
    model = cls(config)
    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        values = rng.normal(0.0, hidden**-0.5, parameter.shape)
        parameter.set_value((values + ("norm" in name and name.endswith("weight"))).astype("float32"))
    set_dropout(model, 0.0)
    model.eval()
    return model


def sentences(count: int, shortest: int, longest: int, vocabulary: int, seed: int = 1) -> Encoded:
    """Random ids of random lengths, with random labels."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(shortest, longest + 1, count)
    ids = [rng.integers(_FIRST, vocabulary, length) for length in lengths]
    types = [(np.arange(length) >= length // 2).astype("int64") for length in lengths]
    return Encoded(ids, types, rng.integers(0, CLASSES, count))
