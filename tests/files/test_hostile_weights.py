"""Small files that would take all memory or never end: each is refused in 2 s, 256 MiB and one line."""

from __future__ import annotations

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from helpers import foreign_files
from helpers.foreign_files import number, tensor, text, torch_zip
from helpers.limits import in_process
from ofa_bert import reporting
from ofa_bert.errors import RunError, UserError
from ofa_bert.files import reading
from ofa_bert.files.weights import read_weights, write_weights

DTYPE = (
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"


def shared(opening, joined):
    """100 containers inside each other, each holding the one before twice: 2^100 when it is walked as a tree."""
    body = opening + b"q\x00"
    for place in range(1, 100):
        body += b"0" + joined(b"h" + bytes([place - 1])) + b"q" + bytes([place])
    return body


def lists(before):
    return b"](" + before + before + b"e"


def tuples(before):
    return before + before + b"\x86"


SHARED_LISTS = shared(b"]", lists)
SHARED_TUPLES = shared(b")", tuples)
PROTOCOL, END = b"\x80\x02", b"."


def named(value):
    """The dictionary {"a": value}."""
    return PROTOCOL + b"}" + text("a") + value + b"s" + END


def many_views():
    """5,000 tensors over one storage of 2 MB."""
    tensors = {f"w{i}": tensor("f4", "0", 500_000, 0, [500_000], [1]) for i in range(5000)}
    return torch_zip(tensors, {"0": bytes(2_000_000)})


def many_halves():
    """5,000 small tensors over one storage of bfloat16: converted for each, that would be 10 GB to move."""
    tensors = {f"w{i}": tensor("bf16", "0", 500_000, i, [10], [1]) for i in range(5000)}
    return torch_zip(tensors, {"0": bytes(1_000_000)})


def overlapping_members():
    """A zip whose 2,000 storages are the same bytes."""
    tensors = {f"w{i}": tensor("f4", str(i), 250_000, 0, [250_000], [1]) for i in range(2000)}
    buffer = io.BytesIO(torch_zip(tensors, {"0": bytes(1_000_000)}))
    with zipfile.ZipFile(buffer, "a") as archive:
        first = archive.getinfo("archive/data/0")
        for i in range(1, 2000):
            other = zipfile.ZipInfo(f"archive/data/{i}")
            other.file_size = other.compress_size = first.file_size
            other.CRC, other.header_offset = first.CRC, first.header_offset
            archive.filelist.append(other)
        archive._didModify = True
    return buffer.getvalue()


def many_copies():
    """10,000 times the same text of 1 MB as bytes."""
    call = b"c_codecs\nencode\n" + b"h\x00\x85R"
    return PROTOCOL + b"X" + struct.pack("<I", 1_000_000) + b"a" * 1_000_000 + b"q\x000](" + call * 10_000 + b"e" + END


def many_lists():
    """10,000 copies of a list of 10,000 items."""
    call = b"c__builtin__\nlist\nh\x00\x85R"
    return PROTOCOL + b"](" + b"N" * 10_000 + b"eq\x000](" + call * 10_000 + b"e" + END


PICKLES = {
    "memo_index": PROTOCOL + b"Nr\xff\xff\xff\x7f.",
    "memo_index_in_words": b"Np99999999999999999\n.",
    "size_of_text": PROTOCOL + b"X\xff\xff\xff\xffab",
    "size_of_bytes": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b"ab",
    "size_of_bytearray": b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b"ab",
    "size_of_frame": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b"N.",
    "size_of_number": PROTOCOL + b"\x8b\xff\xff\xff\x7f1.",
    "digits": b"I" + b"9" * 100_000 + b"\n.",
    "lists_alone": PROTOCOL + SHARED_LISTS + END,
    "tuples_as_key": PROTOCOL + b"}" + SHARED_TUPLES + b"Ns.",
    "tuples_as_key_of_many": PROTOCOL + b"}(" + SHARED_TUPLES + b"Nu.",
    "tuples_as_key_of_an_ordered_one": PROTOCOL + b"ccollections\nOrderedDict\n](" + SHARED_TUPLES + b"N\x86e\x85R.",
    "tuples_in_a_set": b"\x80\x04\x8f(" + SHARED_TUPLES + b"\x90.",
    "tuples_in_a_frozen_set": b"\x80\x04(" + SHARED_TUPLES + b"\x91.",
    "lists_as_type": named(b"cnumpy\ndtype\n" + SHARED_LISTS + b"\x85R"),
    "lists_as_encoding": named(b"c_codecs\nencode\n" + text("a") + SHARED_LISTS + b"\x86R"),
    "lists_as_shape": named(ARRAY + b"(K\x01" + SHARED_LISTS + DTYPE + b"\x89C\x04abcdtb"),
    "deep_lists": PROTOCOL + b"]" * 140_000 + b"a" * 139_999 + END,
    "deep_tuples": PROTOCOL + b")" + b"\x85" * 290_000 + END,
    "itself": PROTOCOL + b"}q\x00" + text("a") + b"h\x00s" + END,
    "many_operations": PROTOCOL + b"(" + b"N" * 3_000_000 + b"l.",
    "many_copies": many_copies(),
    "many_lists": many_lists(),
    "declared_shape": named(ARRAY + b"(K\x01(J\xff\xff\xff\x7ftq\x05" + DTYPE + b"\x89C\x04abcdtb"),
    "negative_shape": named(ARRAY + b"(K\x01(J\xff\xff\xff\xfftq\x05" + DTYPE + b"\x89C\x04abcdtb"),
    "5000_dimensions": named(ARRAY + b"(K\x01(" + b"K\x01" * 5000 + b"t" + DTYPE + b"\x89C\x04abcdtb"),
}
TORCH = {
    "views": many_views(),
    "members": overlapping_members(),
    "storage_size": torch_zip({"a": tensor("f4", "0", (1 << 31) - 1, 0, [3], [1])}, {"0": bytes(40)}),
    "shape": torch_zip({"a": tensor("f4", "0", 10, 0, [(1 << 31) - 1], [0])}, {"0": bytes(40)}),
    "key": torch_zip({"a": b"(" + text("storage") + b"ctorch\nFloatStorage\n" + SHARED_TUPLES}, {"0": bytes(40)}),
    "stream_of_keys": foreign_files.torch_legacy({}, {})[:-1] + SHARED_TUPLES + b"a.",
    "stream_storage_size": foreign_files.torch_legacy(
        {"a": tensor("f4", "0", (1 << 31) - 1, 0, [3], [1], legacy=True)}, {"0": bytes(40)}
    ).replace(struct.pack("<q", 10), struct.pack("<q", (1 << 31) - 1)),
}


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(header, data=bytes(8), length=None):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


SAFETENSORS = {
    "header_size": safetensors({}, length=1 << 62),
    "header_of_20_mb": safetensors(b"[" * (20 << 20)),
    "deep_header": safetensors(b"[" * 100_000),
    "no_object": safetensors([1]),
    "no_entry": safetensors({"a": 1}),
    "shape": safetensors({"a": entry([1 << 61], 0, 8)}),
    "shape_of_ten_billion_zeros": safetensors({"a": entry([10**300, 0, 10**300], 0, 8)}),
    "many_dimensions": safetensors({"a": entry([10**200] * 50_000, 0, 8)}),
    "unknown_dimension": safetensors({"a": entry([-1], 0, 8)}),
    "true": safetensors({"a": entry([True, 2], 0, 8)}),
    "overlap": safetensors({"a": entry([2], 0, 8), "b": entry([1], 4, 8)}),
    "gap": safetensors({"a": entry([1], 0, 4), "b": entry([0], 6, 6)}),
    "behind_the_end": safetensors({"a": entry([4], 0, 16)}),
    "before_the_start": safetensors({"a": entry([2], -8, 0)}),
    "text_as_offset": safetensors({"a": {"dtype": "F32", "shape": [2], "data_offsets": ["0", "8"]}}),
    "lists_as_type": safetensors({"a": entry([2], 0, 8, ["F32"])}),
    "infinite_offset": safetensors(b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, Infinity]}}'),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """How reading each of the files above ends, in one process without Paddle."""
    directory = tmp_path_factory.mktemp("hostile")
    files = {f"{name}.pdparams": data for name, data in PICKLES.items()}
    files |= {f"{name}.bin": data for name, data in TORCH.items()}
    files |= {f"{name}.safetensors": data for name, data in SAFETENSORS.items()}
    for name, data in files.items():
        (directory / name).write_bytes(data)
    found = in_process("helpers.read_under_limits", [str(directory / name) for name in files], 120)
    assert len(found) == len(files)
    return {path.rpartition("/")[2]: ended for path, ended in found}


@pytest.mark.parametrize("kind", ["pdparams", "bin", "safetensors"])
def test_hostile_files_are_refused_within_limits(outcomes, kind):
    found = {name: ended for name, ended in outcomes.items() if name.endswith(kind)}
    assert len(found) > 5
    assert {name: ended for name, ended in found.items() if not ended.startswith("refused: ")} == {}


def test_the_message_says_what_was_asked_for(outcomes):
    assert "10000000000 bytes, more than 8 times" in outcomes["views.bin"]
    assert "cut off" in outcomes["size_of_bytes.pdparams"]
    assert "300000 operations" in outcomes["many_operations.pdparams"]
    assert "a tuple as a key" in outcomes["tuples_as_key.pdparams"]


def test_what_is_shared_is_read_once(tmp_path):
    """Tied embeddings, and a model whose tensors are slices of one storage, are no attack."""
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(many_halves())
    found = in_process("helpers.read_under_limits", [str(path)], 60)
    assert [ended for _, ended in found] == ["works"]
    data = np.arange(1000, dtype="<f4")
    both = {name: tensor("f4", "0", 1000, 0, [1000], [1]) for name in ("encoder", "decoder")}
    path.write_bytes(torch_zip(both, {"0": data.tobytes()}))
    assert all(np.array_equal(array, data) for array in read_weights(path).values())


def test_a_memory_that_is_too_small_is_said(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    write_weights(path, {"a": np.zeros(2, "f4")})

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("ofa_bert.files.weights.parse_json", full)
    with pytest.raises(RunError, match="do not fit into the memory"):
        read_weights(path)


def test_a_pipe_is_no_weight_file(tmp_path):
    import os

    path = tmp_path / "model.safetensors"
    os.mkfifo(path)
    with pytest.raises(UserError, match="It is a pipe"):
        read_weights(path)


JSON = {
    "nested more than 100 deep": "[" * 10_000 + "]" * 10_000,
    "nested more than 100 deep ": '{"a":' * 101 + "1" + "}" * 101,
    "more than 300 digits": "[" + "9" * 5000 + "]",
    "Expecting value": "[nan]",
}


@pytest.mark.parametrize("words", JSON)
def test_hostile_json(tmp_path, words):
    path = tmp_path / "a.json"
    path.write_text(JSON[words])
    with pytest.raises(UserError, match=f"not a JSON file .*{words.strip()}"):
        reading.read_json(path)


def test_json_within_the_limits(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[" * 100 + "]" * 100)
    reading.read_json(path)
    path.write_text('{"model_max_length": 1000000000000000019884624838656}')
    assert reading.read_json(path, finite=True) == {"model_max_length": 1000000000000000019884624838656}
    path.write_text("[NaN, -Infinity]")  # as the scores of a run that diverged are written
    assert reading.read_json(path)[1] == float("-inf")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none(tmp_path, value):
    path = tmp_path / "a.json"
    path.write_text(f'{{"layer_norm_eps": {value}}}')
    with pytest.raises(UserError, match=f"not a JSON file \\({value} is no number"):
        reading.read_json(path, finite=True)


def test_files_that_are_no_json(tmp_path):
    import os

    path = tmp_path / "config.json"
    path.write_bytes(b" " * (reading.JSON_BYTES + 1))
    with pytest.raises(UserError, match="larger than 16 MiB"):
        reading.read_json(path)
    path.write_bytes(foreign_files.LFS_POINTER)
    with pytest.raises(UserError, match="Git LFS pointer.*git lfs pull"):
        reading.read_json(path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="It is a pipe"):
        reading.read_json(path)
    with pytest.raises(UserError, match="Is a directory"):
        reading.read_json(tmp_path)


def test_shown_is_one_short_line():
    deep = "x"
    for _ in range(200):
        deep = [deep, deep]
    for value in (deep, "a\nb" * 10**6, 10**300, {"k": "\ud800" * 1000}, number(3)):
        assert len(reporting.shown(value)) < 1000
        assert reporting.shown(value).isprintable()
