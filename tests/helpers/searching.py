"""A search that needs no Paddle: a small space with a score by formula."""

from ofa_bert.search.front import Budget
from ofa_bert.search.nsga2 import Evaluated, Nsga
from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import ModelShape

SHAPE = ModelShape(
    num_layers=3, hidden_size=32, num_heads=4, head_dim=8, ffn_size=64, vocab_size=40, max_positions=48,
    type_vocab_size=2, num_labels=3,
)  # fmt: skip
SMALL = UnevenSpace(SHAPE, (2, 4), (32, 64))
WORTH = {0: (3.0, 1.0), 1: (1.0, 0.4), 2: (2.0, 2.5)}  # of a head and of 16 neurons, by layer


def score_of(sub_model):
    """Adds up over layers, with less gain the wider a layer is; a middle layer helps only beside the first."""
    total = 0.0
    for layer, heads, ffn in zip(sub_model.layers, sub_model.heads, sub_model.ffn):
        of_head, of_neurons = WORTH[layer]
        gain = of_head * heads**0.5 + of_neurons * (ffn / 16) ** 0.5
        total += gain * (0.2 if layer == 1 and 0 not in sub_model.layers else 1.0)
    return total


def cost_of(sub_model):
    return count_flops(SHAPE, sub_model) / 1e6


def evaluate(sub_model):
    score = score_of(sub_model)
    return Evaluated(score, score, {"flops": cost_of(sub_model)}, {"loss": -score})


def nsga(tmp_path=None, calls=None, **more):
    def counted(sub_model):
        if calls is not None:
            calls.append(sub_model)
        return evaluate(sub_model)

    storage = None if tmp_path is None else tmp_path / "study.db"
    values = {"evaluate": counted, "cost": "flops", "budget": Budget(), "population": 10, "seed": 3, "storage": storage}
    return Nsga(SMALL, **{**values, **more})


def seen(found):
    return [(p.sub_model, p.value, p.cost) for p in found]
