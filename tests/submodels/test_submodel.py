"""Sub-models as values: rounding, sizes, the search space, and what is refused."""

import random

import numpy as np
import pytest

from helpers.models import build
from ofa_bert.errors import UserError
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape, SubModelConfig, even_layers, scaled, uniform

BASE = ModelShape(12, 768, 12, 64, 3072, 30522, 512, 2, 2)


@pytest.mark.parametrize(("mult", "heads"), [(1.0, 12), (5 / 6, 10), (0.6667, 8), (2 / 3, 8), (0.5, 6), (0.01, 1)])
def test_twelve_heads(mult, heads):
    assert scaled(12, mult) == heads


def test_bert_base_sizes():
    assert count_parameters(BASE, uniform(BASE, 1.0)) == 109_483_778
    # The published 110M -> 81M is width 2/3.
    assert round(count_parameters(BASE, uniform(BASE, 2 / 3)) / 1e6) == 81


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_count_equals_the_built_model(model_type):
    model = build(model_type)
    shape = shape_of(model)
    assert count_parameters(shape, uniform(shape, 1.0)) == sum(int(np.prod(p.shape)) for p in model.parameters())


def test_flops_of_bert_base():
    # 11.17 G multiply-adds in the encoder at 128 tokens, and the pooler's and the classifier's.
    pooler = 768 * 768 + 768 * 2
    assert count_flops(BASE, uniform(BASE, 1.0)) == 2 * (12 * 128 * (12 * 768**2 + 2 * 128 * 768) + pooler)
    assert round(count_flops(BASE, uniform(BASE, 1.0)) / 2e9, 2) == 11.17


@pytest.mark.parametrize(("depth", "layers"), [(1.0, range(6)), (0.5, (0, 2, 5)), (0.34, (0, 5)), (0.1, (5,))])
def test_even_layers(depth, layers):
    assert even_layers(6, depth) == tuple(layers)


def test_json_round_trip_and_hash():
    sub_model = SubModelConfig((0, 2), (3, 1), (7, 9))
    again = SubModelConfig.from_json(sub_model.to_json())
    assert again == sub_model
    assert hash(again) == hash(sub_model)
    space = SearchSpace(BASE, (0.5, 1.0), (1.0, 0.5), ((tuple(range(12))), (0, 1, 2, 3, 4, 11)))
    assert SearchSpace.from_json(space.to_json()) == space


@pytest.mark.parametrize(
    "value",
    [
        {"layers": [], "heads": [], "ffn": []},
        {"layers": [0, 1], "heads": [1], "ffn": [1, 1]},
        {"layers": [1, 0], "heads": [1, 1], "ffn": [1, 1]},
        {"layers": [0, 0], "heads": [1, 1], "ffn": [1, 1]},
        {"layers": [-1], "heads": [1], "ffn": [1]},
        {"layers": [0], "heads": [0], "ffn": [1]},
        {"layers": [0], "heads": [1.5], "ffn": [1]},
        {"layers": [True], "heads": [1], "ffn": [1]},
        {"layers": "0", "heads": [1], "ffn": [1]},
        {"heads": [1], "ffn": [1]},
        [1, 2],
        None,
    ],
)
def test_what_is_no_sub_model(value):
    with pytest.raises(UserError):
        SubModelConfig.from_json(value)


@pytest.mark.parametrize(
    ("sub_model", "word"),
    [
        (SubModelConfig((12,), (1,), (1,)), "layer 12"),
        (SubModelConfig((0,), (13,), (1,)), "13 heads"),
        (SubModelConfig((0,), (1,), (3073,)), "3073 FFN"),
    ],
)
def test_what_does_not_fit(sub_model, word):
    with pytest.raises(UserError, match=word):
        sub_model.check_fits(BASE)


@pytest.mark.parametrize("mult", [0.0, -0.5, 1.5, float("nan")])
def test_multipliers_outside_their_range(mult):
    with pytest.raises(UserError, match="width_mult"):
        uniform(BASE, mult)
    with pytest.raises(UserError):
        SearchSpace(BASE, (mult,))


def test_space_has_every_width_with_every_depth_largest_first():
    space = SearchSpace(BASE, (0.5, 1.0, 1.0), (0.5, 1.0))
    names = list(space.sub_models())
    assert names == ["w1_d1", "w0.5_d1", "w1_d0.5", "w0.5_d0.5"]
    assert space.largest == uniform(BASE, 1.0)
    assert space.smallest == uniform(BASE, 0.5, even_layers(12, 0.5))


def test_multipliers_that_round_alike_are_one_sub_model():
    tiny = ModelShape(2, 8, 2, 4, 4, 10, 8, 2, 2)
    assert len(SearchSpace(tiny, (1.0, 0.5, 0.49)).sub_models()) == 2 + 1  # 0.49 keeps 1 of 4 neurons, 0.5 keeps 2
    assert len(SearchSpace(tiny, (0.5, 0.55)).sub_models()) == 1


def test_untrained_multipliers_are_refused_with_the_list():
    space = SearchSpace(BASE, (1.0, 2 / 3), (1.0,))
    assert space.sub_model(0.6667) == uniform(BASE, 2 / 3)
    with pytest.raises(UserError, match=r"width_mult 0.75 was not trained.*1.0, 0.6666"):
        space.sub_model(0.75)
    with pytest.raises(UserError, match="depth_mult 0.5"):
        space.sub_model(1.0, 0.5)


def test_sandwich_holds_both_ends_and_is_a_function_of_the_generator():
    space = SearchSpace(BASE, (1.0, 0.75, 0.5, 0.25), (1.0, 0.5))
    drawn = [space.sandwich(2, random.Random(seed)) for seed in range(20)]
    assert all(sub_models[0] == space.largest and sub_models[-1] == space.smallest for sub_models in drawn)
    assert all(len(set(sub_models)) == 4 for sub_models in drawn)
    assert drawn[3] == space.sandwich(2, random.Random(3))
    assert len({sub_model for sub_models in drawn for sub_model in sub_models}) == 8
    assert len(space.sandwich(50, random.Random(0))) == 8
