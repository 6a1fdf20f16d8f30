"""What pre-training the depths of an encoder is told, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ofa_bert.options import option, unused
from ofa_bert.submodels.values import MULTIPLIER
from ofa_bert.training.settings import LoopSettings, ModelSource, OptimizerSettings


def uneven_relations(heads: int, width: int) -> str:
    """What is wrong with so many relation heads."""
    near = next(count for count in range(min(heads, width), 0, -1) if width % count == 0)
    return f"`relation_heads` {heads}: must divide the {width} features of queries and keys; the next below is {near}"


@dataclass(frozen=True, kw_only=True)
class ElasticJob:
    """An encoder whose shallow sub-models learn from the encoder itself, before any task."""

    elastic: bool = option("train the shallow sub-models of an encoder from the encoder itself, without labels", True)
    model: ModelSource
    corpus: str = option("UTF-8 text file, one sentence or paragraph a line; it is streamed")
    output_dir: str = option("where best/, last/ and checkpoints go")
    depth_mult_list: tuple[float, ...] = option(
        "depths: share of layers kept, 1.0 among them", (1.0, 0.5), above=0, most=1, example=MULTIPLIER
    )
    layer_choice: Literal["prefix", "even"] = option(
        "which layers a depth below 1 keeps. prefix: the first ones. even: evenly spaced, the first and the last among"
        " them. A supernet of the encoder keeps the same",
        "prefix",
    )
    state_weight: float = option(
        "weight of the mean squared difference of hidden states, each kept layer's from the layer it stands for",
        1.0,
        least=0,
    )
    relation_weight: float = option(
        "weight of the attention relations of the last layer: of queries, keys and values each with themselves"
        " (MiniLMv2)",
        1.0,
        least=0,
    )
    relation_heads: int | None = option(
        "into so many parts queries, keys and values are split for their relations, for example 48; default: the"
        " model's attention heads",
        None,
        above=0,
    )
    full_depth_weight: float = option(
        "what the loss of the full depth counts, where that of every other depth counts 1: the shallower ones share its"
        " layers, and pull it away from the encoder as it came",
        4.0,
        above=0,
    )
    supernet_dropout: float = option(
        "dropout while it trains; the encoder that teaches has none", 0.0, least=0, below=1
    )
    held_out: int = option(
        "texts spread over the corpus that are never trained on, to measure the distance from the encoder on",
        500,
        above=0,
    )
    loop: LoopSettings = LoopSettings(num_train_epochs=1.0, warmup_proportion=0.05, save_steps=1000)
    optimizer: OptimizerSettings = OptimizerSettings(learning_rate=2e-4, weight_decay=0.01)

    def problems(self) -> list[str]:
        found = []
        if 1.0 not in self.depth_mult_list or len(set(self.depth_mult_list)) < 2:
            given = " ".join(f"{depth:g}" for depth in self.depth_mult_list)
            found.append(f"`depth_mult_list` {given}: needs 1.0 and a depth below it, for example 1.0 0.5")
        if not self.state_weight and not self.relation_weight:
            found.append("`state_weight` 0 with `relation_weight` 0 leaves no loss; give one of them")
        if not self.relation_weight:
            found += unused(self, ("relation_heads",), "is about relations, which `relation_weight` 0 switches off")
        return found
