"""Exits as layers: classifiers after encoder layers, and how they are read from beside the model they hang on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import paddle
import paddle.nn.functional as F
from paddle import nn

from ofa_bert.errors import UserError
from ofa_bert.exits.layout import EXITS, HEAD_PARTS, HEAD_WIDTH, HEADS, ExitLayout
from ofa_bert.files.weights import read_weights
from ofa_bert.models.encoder import classifier_head, encoder_layers, module_at
from ofa_bert.models.pretrained import check_shapes, put_weights
from ofa_bert.models.record import ExitRecord, ModelRecord
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import SubModelConfig


class Ramp(nn.Layer):
    """DeeBERT's off-ramp: pooler, dropout, linear. `start_from` copies the model's own pooler (and classifier)."""

    def __init__(self, hidden: int, num_labels: int, dropout: float, activation: Sequence[str]):
        super().__init__()
        self.dense = nn.Linear(hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden, num_labels, weight_attr=nn.initializer.Normal(std=0.02))
        self.activation = tuple(activation)

    def forward(self, hidden: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """Logits [B, C] of hidden states [B, T, H], from position 0 alone; the mask is not used."""
        pooled = self.dense(hidden[:, 0])  # [B, H]
        for name in self.activation:
            pooled = getattr(F, name)(pooled)
        return self.classifier(self.dropout(pooled))

    def start_from(self, model: nn.Layer, with_classifier: bool = False) -> None:
        head = classifier_head(model)
        if head.dense is None:
            raise ValueError("an exit answers a text as a whole, and this model every token")
        pairs = [(self.dense, head.dense), (self.classifier, head.output)]
        for own, path in pairs if with_classifier else pairs[:1]:
            source = module_at(model, path)
            own.weight.set_value(source.weight.numpy())
            own.bias.set_value(source.bias.numpy())


class AttentionHead(nn.Layer):
    """FastBERT's and GEEP's head: to width 128, self-attention over the tokens, first position, two linear layers."""

    def __init__(self, hidden: int, num_labels: int, dropout: float):
        super().__init__()
        self.project = nn.Linear(hidden, HEAD_WIDTH)
        self.query, self.key, self.value, self.out = (nn.Linear(HEAD_WIDTH, HEAD_WIDTH) for _ in range(4))
        self.dense = nn.Linear(HEAD_WIDTH, HEAD_WIDTH)
        self.classifier = nn.Linear(HEAD_WIDTH, num_labels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """Logits [B, C] of hidden states [B, T, H] with the additive mask [B, 1, 1, T]."""
        x = F.tanh(self.project(hidden))  # [B, T, 128]
        # Only position 0 goes on, so only its query is needed.
        query, key, value = self._split(self.query(x[:, :1])), self._split(self.key(x)), self._split(self.value(x))
        scores = paddle.matmul(query * (HEAD_WIDTH // HEAD_PARTS) ** -0.5, key, transpose_y=True) + mask
        context = paddle.matmul(self.dropout(F.softmax(scores)), value)  # [B, 2, 1, 64]
        first = self.out(context.transpose([0, 2, 1, 3]).reshape([0, HEAD_WIDTH]))  # [B, 128]
        return self.classifier(F.tanh(self.dense(first)))

    @staticmethod
    def _split(x: paddle.Tensor) -> paddle.Tensor:
        return x.reshape([0, 0, HEAD_PARTS, HEAD_WIDTH // HEAD_PARTS]).transpose([0, 2, 1, 3])  # [B, 2, T, 64]


class Exits(nn.Layer):
    """The heads of a model by layer, each with a learned certainty (BERxiT's learning to exit, here one per head)."""

    def __init__(self, model: nn.Layer, layout: ExitLayout):
        super().__init__()
        _check(layout, len(encoder_layers(model)))
        config = model.config
        hidden, dropout = config.hidden_size, config.hidden_dropout_prob
        self.layout = layout
        self.heads, self.certain = nn.LayerDict(), nn.LayerDict()
        for layer in layout.layers:
            if layout.head == "ramp":
                head = Ramp(hidden, config.num_labels, dropout, classifier_head(model).activations)
                head.start_from(model)
            else:
                head = AttentionHead(hidden, config.num_labels, dropout)
            self.heads[str(layer)] = head
            self.certain[str(layer)] = nn.Linear(hidden, 1)

    def logits(self, layer: int, hidden: paddle.Tensor, mask: paddle.Tensor) -> paddle.Tensor:
        """Logits [B, C] of the exit after `layer`, from its hidden states [B, T, H] and the mask [B, 1, 1, T]."""
        return self.heads[str(layer)](hidden, mask)

    def certainty(self, layer: int, hidden: paddle.Tensor) -> paddle.Tensor:
        """How sure the exit after `layer` may be [B], 0 to 1, from its hidden states [B, T, H]."""
        return F.sigmoid(self.certain[str(layer)](hidden[:, 0])).squeeze(-1)


def _check(layout: ExitLayout, depth: int) -> None:
    wrong = [layer for layer in layout.layers if not 0 <= layer < depth - 1]
    if layout.head not in HEADS or not layout.layers or wrong or list(layout.layers) != sorted(set(layout.layers)):
        raise UserError(
            f"exits {layout.head} after layers {' '.join(map(str, layout.layers)) or 'none'}: an exit is one of"
            f" {', '.join(HEADS)}, and hangs after some of the layers 0 to {depth - 2}; after the last one the model"
            " answers itself"
        )


def extract_exits(exits: Exits, small: nn.Layer, sub_model: SubModelConfig) -> Exits:
    """Copies of the heads that a sub-model keeps, for the model `small` that was extracted of it."""
    points = exits.layout.points(sub_model)
    if not points:
        raise UserError(
            f"the sub-model keeps layers {shown(list(sub_model.layers))}, none of which has an exit before its last"
        )
    own = Exits(small, ExitLayout(exits.layout.head, tuple(place for place, _ in points)))
    for place, layer in points:
        own.heads[str(place)].set_state_dict(exits.heads[str(layer)].state_dict())
        own.certain[str(place)].set_state_dict(exits.certain[str(layer)].state_dict())
    own.eval()
    return own


def exits_of_sub_model(exits: Exits | None, small: nn.Layer, sub_model: SubModelConfig) -> Exits | None:
    """As extract_exits; None when there are no exits, or the sub-model keeps none of them."""
    return extract_exits(exits, small, sub_model) if exits and exits.layout.points(sub_model) else None


def exits_in(directory: str | Path, record: ModelRecord) -> ExitRecord:
    """What the record of the model in `directory` says of its exits. UserError when it has none."""
    if record.exits is None:
        raise UserError(f"{directory}: has no exits; train them with run_glue_ofa.py `exits`")
    return record.exits


def load_exits(directory: str | Path, record: ModelRecord, model: nn.Layer) -> Exits:
    """The exits that lie beside a model, in eval mode. UserError when there are none or they fit another model."""
    path = Path(directory, f"{EXITS}.safetensors")
    exits = Exits(model, exits_in(directory, record).layout)
    weights = read_weights(path)
    different = sorted(set(weights) ^ set(exits.state_dict()))
    if different:
        raise UserError(f"{path}: does not hold the exits that ofa_config.json describes ({different[0]})")
    check_shapes(exits, weights, str(path))
    put_weights(exits, weights)
    exits.eval()
    return exits
