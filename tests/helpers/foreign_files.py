"""Files as other software writes them, made without it: torch pickles, Hugging Face model directories."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile

import numpy as np

from helpers.models import VOCABULARY
from ofa_bert.data.tokenization.second_cut import BLANK
from ofa_bert.data.tokenization.sentencepiece_model import NAME, SentencePiece, model_bytes
from ofa_bert.data.tokenization.vocabulary_files import is_cut_again


class Poison:
    """Unpickled by pickle.load, it writes a file."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"echo run > {self.marker}",)


STORAGES = {
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "f8": "DoubleStorage",
    "i8": "LongStorage",
    "bf16": "BFloat16Storage",
}

LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:"
    b"4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


def text(value):
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value):
    return b"J" + struct.pack("<i", value)


def numbers(values):
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(kind, key, count, offset, shape, strides, legacy=False, function="_rebuild_tensor_v2"):
    """Opcodes of one tensor, as torch writes them with pickle protocol 2."""
    view = b"N" if legacy else b""
    storage = b"(" + text("storage") + f"ctorch\n{STORAGES[kind]}\n".encode() + text(key) + text("cpu") + number(count)
    hooks = b"ccollections\nOrderedDict\n)R"
    call = f"ctorch._utils\n{function}\n".encode()
    arguments = storage + view + b"tQ" + number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks
    return call + b"(" + arguments + b"tR"


def state_dict(tensors):
    """Opcodes of an OrderedDict of tensors that carries `_metadata`, as every torch state dict does."""
    items = b"".join(text(name) + value for name, value in tensors.items())
    attributes = b"}" + text("_metadata") + b"ccollections\nOrderedDict\n)Rsb"
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u" + attributes + b"."


def bfloat16(array):
    return (np.asarray(array, "<f4").view("<u4") >> 16).astype("<u2")


def storage_bytes(array, kind):
    return (bfloat16(array) if kind == "bf16" else np.asarray(array, "<" + kind)).tobytes()


def torch_parts(weights, kind="f4", legacy=False):
    tensors, data = {}, {}
    for index, (name, array) in enumerate(weights.items()):
        strides = [stride // array.itemsize for stride in array.strides]
        tensors[name] = tensor(kind, str(index), array.size, 0, array.shape, strides, legacy)
        data[str(index)] = storage_bytes(array, kind)
    return tensors, data


def torch_zip(tensors, data):
    """The bytes of torch.save's zip format."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", state_dict(tensors))
        archive.writestr("archive/byteorder", "little")
        for key, raw in data.items():
            archive.writestr(f"archive/data/{key}", raw)
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def torch_legacy(tensors, data, itemsize=4):
    """The bytes of torch.save's format before 1.6."""
    magic = b"\x80\x02\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
    protocol = b"\x80\x02" + number(1001) + b"."
    system = b"\x80\x02}" + text("little_endian") + b"\x88s."
    keys = b"\x80\x02](" + b"".join(map(text, data)) + b"e."
    blocks = b"".join(struct.pack("<q", len(raw) // itemsize) + raw for raw in data.values())
    return magic + protocol + system + state_dict(tensors) + keys + blocks


def write_torch(path, weights, kind="f4", legacy=False):
    tensors, data = torch_parts(weights, kind, legacy)
    itemsize = 2 if kind == "bf16" else np.dtype(kind).itemsize
    path.write_bytes(torch_legacy(tensors, data, itemsize) if legacy else torch_zip(tensors, data))


SHAPE = {
    "vocab_size": 27,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-3,  # large, so that a model that ignores it is found out
    "use_cache": True,  # Hugging Face writes it; PaddleNLP would return caches beside the logits
    "torch_dtype": "float16",
}


def hugging_face_weights(seed=0, pooler=True, classifier=None, **shape):
    """Random BERT weights under Hugging Face's names without prefix; Linear weights are [out, in]."""
    shape = {**SHAPE, **shape}
    rng = np.random.default_rng(seed)
    hidden, ffn = shape["hidden_size"], shape["intermediate_size"]
    weights = {}

    def add(name, *size, around=0.0):
        weights[name] = (around + rng.normal(0, 0.2, size)).astype("f4")

    def linear(name, inputs, outputs):
        add(f"{name}.weight", outputs, inputs)
        add(f"{name}.bias", outputs)

    def norm(name):
        add(f"{name}.weight", hidden, around=1.0)
        add(f"{name}.bias", hidden)

    add("embeddings.word_embeddings.weight", shape["vocab_size"], hidden)
    add("embeddings.position_embeddings.weight", shape["max_position_embeddings"], hidden)
    add("embeddings.token_type_embeddings.weight", shape["type_vocab_size"], hidden)
    norm("embeddings.LayerNorm")
    for layer in range(shape["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            linear(f"{name}.attention.self.{part}", hidden, hidden)
        linear(f"{name}.attention.output.dense", hidden, hidden)
        norm(f"{name}.attention.output.LayerNorm")
        linear(f"{name}.intermediate.dense", hidden, ffn)
        linear(f"{name}.output.dense", ffn, hidden)
        norm(f"{name}.output.LayerNorm")
    if pooler:
        linear("pooler.dense", hidden, hidden)
    if classifier:
        linear("classifier", hidden, classifier)
    return weights


def with_prefix(weights, prefix):
    return {name if name.startswith("classifier") else f"{prefix}.{name}": array for name, array in weights.items()}


def model_directory(path, vocabulary, model_type="bert", **changes):
    """A directory with config.json and vocab.txt in Hugging Face's layout, still without weights."""
    path.mkdir(parents=True)
    config = {**SHAPE, "vocab_size": len(vocabulary), "model_type": model_type, **changes}
    (path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    return path


def reference_states(weights, config, ids, types, first_position=0):
    """Hidden states [B, T, H] of a BERT in float64, from unprefixed Hugging Face weights; no padding."""
    from scipy.special import erf

    weights = {name: np.asarray(array, "f8") for name, array in weights.items()}
    heads = config["num_attention_heads"]

    def linear(x, name):
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + config["layer_norm_eps"])
        return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def split(x):
        return x.reshape(*x.shape[:2], heads, -1).transpose(0, 2, 1, 3)  # [B, h, T, d]

    positions = np.arange(ids.shape[1]) + first_position
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.position_embeddings.weight"][positions]
    x = norm(x + weights["embeddings.token_type_embeddings.weight"][types], "embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        query, key, value = (split(linear(x, f"{name}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        mixed = mixed.transpose(0, 2, 1, 3).reshape(x.shape)
        x = norm(x + linear(mixed, f"{name}.attention.output.dense"), f"{name}.attention.output.LayerNorm")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        x = norm(x + linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return x


def fingerprint(directory):
    """Names, bytes and modification times of everything in a directory."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    digests = [(str(path), hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files]
    return digests, directory.stat().st_mtime_ns


def tokenizer_for(path, model_type):
    """A PaddleNLP tokenizer of the family, over the tests' words and some more; 40 tokens as in `build`."""
    from ofa_bert.models.families.registry import tokenizer_class

    words = [*VOCABULARY, *"0123456789xyz"]
    if is_cut_again(model_type):
        return tokenizer_class(model_type)(*map(str, write_cut_again(path, words)))
    (path / "vocab.txt").write_text("\n".join(words) + "\n")
    return tokenizer_class(model_type, path)(str(path / "vocab.txt"))


def write_cut_again(path, words):
    """vocab.txt of these tokens, words with a blank before them, and a sentencepiece model of them and of letters."""
    blank = [word if word[0] == "[" or len(word) == 1 else BLANK + word for word in words]
    (path / "vocab.txt").write_text("\n".join(blank) + "\n", encoding="utf-8")
    letters = [BLANK, *map(chr, range(33, 127))]
    pieces = {**dict.fromkeys(letters, -9.0), **{word: -5.0 for word in blank if len(word) > 1 and word[0] != "["}}
    (path / NAME).write_bytes(model_bytes(SentencePiece(list(pieces.items()), "")))
    return path / "vocab.txt", path / NAME
