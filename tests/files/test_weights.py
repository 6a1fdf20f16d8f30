"""Weight files: every format read right, nothing in them run, damage reported."""

from __future__ import annotations

import json
import pickle
import random

import numpy as np
import pytest

from helpers import foreign_files
from ofa_bert.errors import UserError
from ofa_bert.files.weights import find_weights, read_weights, write_weights

WEIGHTS = {
    "a.weight": np.arange(12, dtype="f4").reshape(3, 4) / 8,
    "a.bias": np.array([-1.5, 0.25, 3.0], "f4"),
    "scalar": np.array(2.5, "f4"),
    "empty": np.zeros([0, 4], "f4"),
}


def assert_same(found, expected=WEIGHTS):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32, name
        assert found[name].shape == array.shape, name
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_safetensors_of_the_library(tmp_path, dtype):
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file({name: array.astype(dtype) for name, array in WEIGHTS.items()}, str(path), {"format": "pt"})
    assert_same(read_weights(path))


def test_safetensors_bfloat16(tmp_path):
    raw = foreign_files.bfloat16(WEIGHTS["a.weight"]).tobytes()
    header = json.dumps({"a": {"dtype": "BF16", "shape": [3, 4], "data_offsets": [0, len(raw)]}}).encode()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + raw)
    assert_same(read_weights(path), {"a": WEIGHTS["a.weight"]})


def test_written_safetensors_are_read_by_the_library(tmp_path):
    from safetensors import safe_open

    path = tmp_path / "model.safetensors"
    mixed = {
        **WEIGHTS,
        "count": np.array([7], "i8"),
        "flag": np.array([True]),
        "turned": WEIGHTS["a.weight"].T,
    }
    write_weights(path, mixed)
    with safe_open(str(path), "np") as file:
        assert file.metadata() == {"format": "np"}
        for name, array in mixed.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)
            assert file.get_tensor(name).dtype == array.dtype
            assert file.get_tensor(name).shape == array.shape
    found = read_weights(path)
    assert all(np.array_equal(found[name], array) for name, array in mixed.items())


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["f4", "f2", "bf16"])
def test_torch(tmp_path, kind, legacy):
    path = tmp_path / "pytorch_model.bin"
    foreign_files.write_torch(path, WEIGHTS, kind, legacy)
    assert_same(read_weights(path))


def test_torch_views_of_one_storage(tmp_path):
    data = {"0": np.arange(10, dtype="<f4").tobytes()}
    tensors = {
        "turned": foreign_files.tensor("f4", "0", 10, 2, [2, 4], [1, 2]),
        "tail": foreign_files.tensor("f4", "0", 10, 7, [3], [1]),
    }
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(foreign_files.torch_zip(tensors, data))
    turned = np.arange(2, 10, dtype="f4").reshape(4, 2).T
    assert_same(read_weights(path), {"turned": turned, "tail": np.array([7, 8, 9], "f4")})


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(8, [3], [1]), (0, [1 << 30], [0]), (0, [2], [-1]), (0, [2], [1, 1])]
)
def test_torch_tensor_beyond_its_data(tmp_path, offset, shape, strides):
    path = tmp_path / "pytorch_model.bin"
    tensors = {"a": foreign_files.tensor("f4", "0", 10, offset, shape, strides)}
    path.write_bytes(foreign_files.torch_zip(tensors, {"0": bytes(40)}))
    with pytest.raises(UserError, match="damaged"):
        read_weights(path)


def test_paddle(tmp_path):
    import paddle

    path = tmp_path / "model_state.pdparams"
    paddle.save({name: paddle.to_tensor(array) for name, array in WEIGHTS.items()}, str(path))
    assert_same(read_weights(path))
    half = paddle.to_tensor(WEIGHTS["a.weight"]).astype("bfloat16")
    paddle.save({"a": half, "b": half.astype("float16")}, str(path))
    assert_same(read_weights(path), {"a": WEIGHTS["a.weight"], "b": WEIGHTS["a.weight"]})


def test_paddle_optimizer(tmp_path):
    import paddle

    layer = paddle.nn.Linear(2, 3)
    optimizer = paddle.optimizer.AdamW(paddle.optimizer.lr.StepDecay(0.1, 2), parameters=layer.parameters())
    layer(paddle.ones([1, 2])).sum().backward()
    optimizer.step()
    path = tmp_path / "model.pdopt"
    paddle.save(optimizer.state_dict(), str(path))
    state = {name: value for name, value in optimizer.state_dict().items() if name != "LR_Scheduler"}
    found = read_weights(path)
    assert set(found) == set(state)
    assert all(np.array_equal(found[name], state[name].numpy()) for name in state)


def object_pointer(_):
    """An object array in disguise: numpy.dtype's flags would make raw bytes into pointers."""
    return (
        b"\x80\x02}X\x01\x00\x00\x00acnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t"
        b"c_codecs\nencode\n(X\x01\x00\x00\x00bX\x06\x00\x00\x00latin1tRtR(K\x01(K\x01tcnumpy\ndtype\n"
        b"(X\x02\x00\x00\x00O8\x89\x88tR(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        b"c_codecs\nencode\n(X\x08\x00\x00\x00AAAAAAAAX\x06\x00\x00\x00latin1tRtbs."
    )


POISONS = {
    "reduce": lambda marker: pickle.dumps({"a": foreign_files.Poison(marker)}, 4),
    "first_protocol": lambda marker: f"cos\nsystem\n(S'echo run > {marker}'\ntR.".encode(),
    "eval": lambda marker: f'c__builtin__\neval\n(S\'open("{marker}", "w")\'\ntR.'.encode(),
    "instance": lambda marker: f"(S'echo run > {marker}'\nios\nsystem\n.".encode(),
    "dotted": lambda marker: (
        b"\x80\x04" + foreign_files.text("numpy") + foreign_files.text("dtype.__init__") + b"\x93."
    ),
    "function_state": lambda marker: b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.",
    "object_pointer": object_pointer,
}


@pytest.mark.parametrize("name", ["model_state.pdparams", "model.pdopt", "pytorch_model.bin", "zip/pytorch_model.bin"])
@pytest.mark.parametrize("poison", POISONS)
def test_poisoned_pickles_are_refused_and_not_run(tmp_path, name, poison):
    marker = tmp_path / "it-ran"
    payload = POISONS[poison](marker)
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if name.startswith("zip/"):
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", payload)
    else:
        path.write_bytes(payload)
    with pytest.raises(UserError) as error:
        read_weights(path)
    assert not marker.exists()
    assert str(path) in str(error.value)
    if poison in ("reduce", "eval", "first_protocol"):
        assert "system" in str(error.value) or "eval" in str(error.value)


def test_the_poison_works(tmp_path):
    """Without this, the test above could pass because its poison is none."""
    marker = tmp_path / "it-ran"
    for name in ("reduce", "first_protocol", "eval", "instance"):
        pickle.loads(POISONS[name](marker))
        assert marker.exists(), name
        marker.unlink()


def test_poison_behind_a_torch_header(tmp_path):
    marker = tmp_path / "it-ran"
    path = tmp_path / "pytorch_model.bin"
    foreign_files.write_torch(path, WEIGHTS, legacy=True)
    head = path.read_bytes().split(foreign_files.text("little_endian"))[0]
    path.write_bytes(head + foreign_files.text("little_endian") + b"\x88s." + POISONS["reduce"](marker))
    with pytest.raises(UserError, match="system"):
        read_weights(path)
    assert not marker.exists()


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    import paddle

    directory = tmp_path_factory.mktemp("samples")
    write_weights(directory / "model.safetensors", WEIGHTS)
    paddle.save({name: paddle.to_tensor(array) for name, array in WEIGHTS.items()}, str(directory / "m.pdparams"))
    foreign_files.write_torch(directory / "new.bin", WEIGHTS)
    foreign_files.write_torch(directory / "old.bin", WEIGHTS, legacy=True)
    return directory


@pytest.mark.parametrize("name", ["model.safetensors", "m.pdparams", "new.bin", "old.bin"])
def test_cut_off_files(tmp_path, samples, name):
    whole = (samples / name).read_bytes()
    assert_same(read_weights(samples / name))
    path = tmp_path / name
    for length in {*range(0, len(whole), 7), len(whole) - 1}:
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="empty" if length == 0 else "damaged"):
            read_weights(path)


@pytest.mark.parametrize("name", ["model.safetensors", "m.pdparams", "new.bin", "old.bin"])
def test_flipped_bytes_give_weights_or_one_clear_error(tmp_path, samples, name):
    rng = random.Random(5)
    whole = (samples / name).read_bytes()
    path = tmp_path / name
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        path.write_bytes(bytes(damaged))
        error = None
        try:
            assert all(isinstance(array, np.ndarray) for array in read_weights(path).values())
        except UserError as found:
            error, refused = str(found), refused + 1
        assert error is None or (str(path) in error and "\n" not in error)
    assert refused > 50


@pytest.mark.parametrize("name", ["model.safetensors", "model_state.pdparams", "pytorch_model.bin"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (foreign_files.LFS_POINTER, "is a Git LFS pointer.*`git lfs pull`"),
        (b"<html></html>", "damaged"),
    ],
)
def test_files_of_another_kind(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read_weights(path)


def test_pickles_without_weights(tmp_path):
    path = tmp_path / "model_state.pdparams"
    for value, words in (
        ({"epoch": 3}, "holds no weights"),
        ([1, 2], "not weights by name"),
        ({}, "holds no weights"),
    ):
        path.write_bytes(pickle.dumps(value))
        with pytest.raises(UserError, match=words):
            read_weights(path)


def test_missing_and_unknown_files(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_weights(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="not a kind of weight file"):
        read_weights(tmp_path / "model.onnx")
    with pytest.raises(UserError, match="holds no weights; looked for .*model_state.pdparams"):
        find_weights(tmp_path)


def test_split_models(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    names = list(WEIGHTS)
    parts = {"one.safetensors": names[:2], "two.safetensors": names[2:]}
    for part, members in parts.items():
        write_weights(tmp_path / part, {name: WEIGHTS[name] for name in members})
    weight_map = {name: part for part, members in parts.items() for name in members}
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    assert find_weights(tmp_path) == index
    assert_same(read_weights(index))
    faults = {
        "lack 1 of the weights": {**weight_map, "more": "two.safetensors"},
        "must lie beside the index": {**weight_map, "a.bias": "../two.safetensors"},
        "No such file": {**weight_map, "a.bias": "three.safetensors"},
        "not an index": [1],
        "beside the index$": {**weight_map, "a.bias": "two\n.safetensors"},
        "names 'model.safetensors.index.json', which is no": {**weight_map, "a.bias": index.name},
        "names '..', which is no": {**weight_map, "a.bias": ".."},
        "not an index .*no weight_map": {**weight_map, "a.bias": ["two.safetensors"]},
    }
    for words, changed in faults.items():
        index.write_text(json.dumps({"weight_map": changed}))
        with pytest.raises(UserError, match=words):
            read_weights(index)
