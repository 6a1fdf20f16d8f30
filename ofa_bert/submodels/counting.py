"""How large a sub-model is."""

from __future__ import annotations

from ofa_bert.submodels.values import ModelShape, SubModelConfig


def count_parameters(shape: ModelShape, sub_model: SubModelConfig) -> int:
    """Exact number of parameters of the extracted sub-model, embeddings and classifier included.

    >>> from ofa_bert import ModelShape, SearchSpace, count_parameters
    >>> shape = ModelShape(12, 768, 12, 64, 3072, 30522, 512, 2, num_labels=2)
    >>> space = SearchSpace(shape, width_mults=(1.0, 0.5))
    >>> [count_parameters(shape, sub_model) for sub_model in (space.largest, space.smallest)]
    [109483778, 66984194]
    """
    hidden = shape.hidden_size
    rows = shape.vocab_size + shape.max_positions + shape.type_vocab_size + shape.task_type_vocab_size
    width = shape.embedding_size or hidden
    embeddings = rows * width + 2 * width + projection_size(width, hidden)
    encoder = 0
    for heads, ffn in zip(sub_model.heads, sub_model.ffn):
        inner = heads * shape.head_dim
        attention = 3 * (hidden * inner + inner) + inner * hidden + hidden
        feed_forward = hidden * ffn + ffn + ffn * hidden + hidden
        encoder += attention + feed_forward + 4 * hidden
    pooler = 0 if shape.per_token == 1 else hidden * hidden + hidden
    classifier = hidden * shape.num_labels + shape.num_labels
    fit = (sub_model.depth + 2) * (hidden + 1) * shape.fit_size
    return embeddings + encoder + pooler + classifier + fit


def projection_size(width: int, hidden: int) -> int:
    """Parameters of the layer from embeddings of that width to the hidden size; there is none between equals."""
    return (width + 1) * hidden if width != hidden else 0


def count_flops(shape: ModelShape, sub_model: SubModelConfig, length: int = 128) -> int:
    """Floating-point operations of the matrix products for one sequence of `length` tokens (2 per multiply-add).

    >>> from ofa_bert import ModelShape, SubModelConfig, count_flops
    >>> shape = ModelShape(12, 768, 12, 64, 3072, 30522, 512, 2, num_labels=2)
    >>> one_layer = SubModelConfig(layers=(11,), heads=(12,), ffn=(3072,))
    >>> count_flops(shape, one_layer, length=128) / 1e9
    1.863453696
    """
    hidden = shape.hidden_size
    total = 0
    for heads, ffn in zip(sub_model.heads, sub_model.ffn):
        inner = heads * shape.head_dim
        projections = 4 * hidden * inner
        attention = 2 * length * inner
        total += length * (projections + attention + 2 * hidden * ffn)
    width = shape.embedding_size or hidden
    if width != hidden:
        total += length * width * hidden
    outputs = hidden * shape.num_labels
    total += length * outputs if shape.per_token else hidden * hidden + outputs
    return 2 * total
