"""Weights in several files and in half precision, in either layout, for every family."""

import json
import shutil
import struct

import numpy as np
import pytest

from helpers.foreign_files import bfloat16, tokenizer_for
from helpers.models import build
from helpers.paths import TESTS
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import answers_per_token
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.models.record import ModelRecord

STORED = TESTS / "models" / "stored"
# In transformers' own layout, where it has the family.
HUGGING_FACE = {
    **{family: STORED / "tokens" / family for family in ("bert", "ernie", "roberta", "electra", "distilbert")},
    "ernie_m": STORED / "ernie-m" / "classifier",
}
XLM_ROBERTA = STORED / "xlm-roberta" / "classifier"  # of RoBERTa's family, with a tokenizer of its own
KINDS = {"F32": lambda array: array, "F16": lambda array: array.astype("<f2"), "BF16": bfloat16}


def rounded(array, kind):
    """What is left of float32 numbers in that type."""
    if kind == "BF16":
        return (bfloat16(array).astype("<u4") << 16).view("<f4")
    return KINDS[kind](array).astype("f4")


def write_safetensors(path, weights, kind):
    """In a type that the package itself never writes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in weights.items():
        raw = np.ascontiguousarray(KINDS[kind](array)).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def in_parts(directory, kind, count=3):
    """The directory's model.safetensors as `count` files and an index, as transformers writes large models."""
    whole = directory / "model.safetensors"
    weights = read_weights(whole)
    whole.unlink()
    places = {name: f"model-{1 + number % count:05d}-of-{count:05d}.safetensors" for number, name in enumerate(weights)}
    for part in set(places.values()):
        write_safetensors(directory / part, {n: a for n, a in weights.items() if places[n] == part}, kind)
    index = {"metadata": {"total_size": sum(array.nbytes for array in weights.values())}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return weights


def source(family, layout, tmp_path):
    if layout == "hugging_face":
        if family == "xlm-roberta":
            return shutil.copytree(XLM_ROBERTA, tmp_path / "m")
        if family not in HUGGING_FACE:
            pytest.skip(f"transformers has no {family}")
        return shutil.copytree(HUGGING_FACE[family], tmp_path / "m")
    if family == "xlm-roberta":
        save_model(tmp_path / "m", *load_model(XLM_ROBERTA))
        return tmp_path / "m"
    save_model(tmp_path / "m", build(family), tokenizer_for(tmp_path, family), ModelRecord())
    return tmp_path / "m"


def read_here(directory):
    """The state that is loaded, without a pooler that answers for every token leave idle: it starts at random."""
    model, _, _ = load_model(directory)
    return {n: t for n, t in model.state_dict().items() if not (answers_per_token(model) and ".pooler." in n)}


@pytest.mark.parametrize("layout", ["paddle", "hugging_face"])
@pytest.mark.parametrize("family", [*MODEL_TYPES, "xlm-roberta"])
def test_parts_and_half_precision_are_read_as_the_numbers_they_hold(family, layout, tmp_path):
    directory = source(family, layout, tmp_path)
    before = read_here(directory)
    for kind in KINDS:
        shutil.rmtree(tmp_path / kind, ignore_errors=True)
        copy = shutil.copytree(directory, tmp_path / kind)
        in_parts(copy, kind)
        config = json.loads((copy / "config.json").read_text())
        names = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
        (copy / "config.json").write_text(json.dumps({**config, "torch_dtype": names[kind]}))
        after = read_here(copy)
        assert set(after) == set(before)
        for name, tensor in after.items():
            assert tensor.numpy().dtype == np.float32
            np.testing.assert_array_equal(tensor.numpy(), rounded(before[name].numpy(), kind), err_msg=name)


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_a_part_that_is_missing_is_named(family, tmp_path):
    directory = source(family, "paddle", tmp_path)
    in_parts(directory, "F16")
    (directory / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(UserError, match="model-00002-of-00003.safetensors: cannot be read: No such file") as error:
        load_model(directory)
    assert "\n" not in str(error.value)
