"""Families that PaddleNLP alone has: its own directories and logits, and what of them is refused."""

import json

import numpy as np
import paddle
import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import batch_of, build, randomise
from ofa_bert.errors import UserError
from ofa_bert.models import masked_lm
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.models.families.registry import FAMILIES, MODEL_TYPES, model_class
from ofa_bert.models.supernet import extract, forward, whole
from ofa_bert.submodels.values import SubModelConfig

FROM_PADDLENLP = ("ppminilm", "ernie_gram")


def saved(path, model_type):
    """A directory as PaddleNLP writes it, with random weights and its logits for `batch_of()`."""
    model, batch = build(model_type), batch_of()
    model.save_pretrained(str(path))
    tokenizer_for(path, model_type).save_pretrained(str(path))
    return model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()


def change(directory, **values):
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, **values}))


@pytest.mark.parametrize("model_type", FROM_PADDLENLP)
def test_paddlenlps_directory_has_paddlenlps_logits(model_type, tmp_path):
    wanted, batch = saved(tmp_path, model_type), batch_of()
    assert (tmp_path / "model_state.pdparams").is_file()
    model, _, _ = load_model(tmp_path)
    model.eval()
    assert model.base_model_prefix == model_type
    found = forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)


def test_the_epsilon_that_ernie_grams_configuration_lacks_is_the_models(tmp_path):
    saved(tmp_path, "ernie_gram")
    assert "layer_norm_eps" not in json.loads((tmp_path / "config.json").read_text())
    model, _, _ = load_model(tmp_path)
    assert {layer.norm1._epsilon for layer in encoder_layers(model)} == {1e-5}
    change(tmp_path, layer_norm_eps=1e-4)
    assert load_model(tmp_path)[0].ernie_gram.embeddings.layer_norm._epsilon == 1e-4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rel_pos_size": 8}, "rel_pos_size is 8: PaddleNLP's model reads no relative positions"),
        ({"embedding_size": 16}, "embedding_size is 16, must be hidden_size 32: PaddleNLP has no projection"),
        ({"embedding_size": "wide"}, "embedding_size is 'wide', must be a whole number above 0"),
    ],
)
def test_configurations_of_ernie_gram_that_do_not_fit(tmp_path, changes, words):
    saved(tmp_path, "ernie_gram")
    change(tmp_path, **changes)
    with pytest.raises(UserError, match=words) as error:
        load_model(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if FAMILIES[name].masked_lm is None])
def test_a_family_without_a_masked_lm_is_refused(model_type, tmp_path):
    saved(tmp_path, model_type)
    with pytest.raises(
        UserError, match=f"`model_type` {model_type}: .*cannot be pre-trained; take one of bert"
    ) as error:
        masked_lm.load(str(tmp_path), "auto")
    assert "\n" not in str(error.value)


def test_ernie_gram_answers_for_every_token_too():
    model = model_class("ernie_gram", per_token=True)(build("ernie_gram", num_labels=5).config)
    randomise(model.eval() or model)
    batch, sub_model = batch_of(), SubModelConfig((0, 3), (3, 1), (50, 7))
    stock = model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()
    ours = forward(model, batch.input_ids, batch.token_type_ids, whole(model)).logits.numpy()
    np.testing.assert_allclose(ours, stock, atol=1e-5)
    small = extract(model, sub_model)
    inside = forward(model, batch.input_ids, batch.token_type_ids, sub_model).logits.numpy()
    np.testing.assert_allclose(small(batch.input_ids, batch.token_type_ids).numpy(), inside, atol=1e-5)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_model_of_another_width_can_be_built(model_type):
    """As a search from scratch does it: what must be the hidden size follows it."""
    from ofa_bert.models.families.paddlenlp import changed

    family, config = FAMILIES[model_type], build(model_type).config
    model = model_class(model_type)(changed(config, hidden_size=24, **family.sizes_of(24)))
    model.eval()
    batch = batch_of()
    assert model(batch.input_ids, batch.token_type_ids).shape == [3, 3]


@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if not FAMILIES[name].token_types])
def test_types_change_nothing_where_there_are_none(model_type, tmp_path):
    model, batch = build(model_type), batch_of()
    others = 1 - batch.token_type_ids
    for call in (model, lambda ids, types: forward(model, ids, types, whole(model)).logits):
        one, other = call(batch.input_ids, batch.token_type_ids), call(batch.input_ids, others)
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    np.testing.assert_array_equal(model(batch.input_ids).numpy(), model(batch.input_ids, others).numpy())
    masked = model(batch.input_ids, attention_mask=paddle.ones_like(batch.input_ids))
    assert np.abs((masked - model(batch.input_ids)).numpy()).max() > 1e-3  # PaddleNLP's other arguments still count
