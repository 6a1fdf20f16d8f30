"""The configuration files of serving engines, as text: Triton's and FastDeploy's config.pbtxt, Paddle Serving's conf.

Written without protobuf, so that exporting needs no serving package; the tests read them with Triton's own schema.
A message is a list of (field, value), where a value is a text, a number, a truth value, a Word or a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from ofa_bert.bundle.manifest import INPUTS, OUTPUT


class Word(NamedTuple):
    """A name that stands without quotes, as of an enumeration."""

    text: str


Field = tuple[str, object]
Message = Sequence[Field]


def text_of(message: Message, indent: str = "") -> str:
    """A message in protobuf's text format."""
    lines = []
    for name, value in message:
        if isinstance(value, Word):
            lines.append(f"{indent}{name}: {value.text}")
        elif isinstance(value, bool):
            lines.append(f"{indent}{name}: {str(value).lower()}")
        elif isinstance(value, int):
            lines.append(f"{indent}{name}: {value}")
        elif isinstance(value, str):
            lines.append(f"{indent}{name}: {_quoted(value)}")
        else:
            inner = text_of(cast(Message, value), indent + "  ")
            lines.append(f"{indent}{name} {{\n{inner}{indent}}}")
    return "".join(line + "\n" for line in lines)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Serving(NamedTuple):
    """How the server is to run a model."""

    device: str  # cpu or gpu
    accelerator: str  # none, tensorrt or openvino
    instances: int
    threads: int  # of an instance; 0 leaves it to the engine
    max_batch_size: int
    max_queue_delay_us: int


def triton(
    name: str, inputs: dict[str, int], outputs: Sequence[int], has_labels: bool, length: int, how: Serving
) -> str:
    """config.pbtxt for the ONNX Runtime backend. inputs: name -> free dimensions after the batch; outputs: the logits'.

    has_labels: the server may call what it answers by the names in labels.txt.
    """
    message: list[Field] = [
        ("name", name),
        ("backend", "onnxruntime"),
        ("default_model_filename", "model.onnx"),
        ("max_batch_size", how.max_batch_size),
    ]
    for item, dims in inputs.items():
        tensor = [("name", item), ("data_type", Word("TYPE_INT64")), *[("dims", -1)] * dims]
        message.append(("input", tensor))
    output = [("name", OUTPUT), ("data_type", Word("TYPE_FP32")), *(("dims", size) for size in outputs)]
    message.append(("output", output + ([("label_filename", "labels.txt")] if has_labels else [])))
    message += [
        ("version_policy", [("all", [])]),
        ("instance_group", [("count", how.instances), ("kind", Word(f"KIND_{how.device.upper()}"))]),
        ("dynamic_batching", [("max_queue_delay_microseconds", how.max_queue_delay_us)]),
    ]
    if how.accelerator != "none":
        message.append(("optimization", [("execution_accelerators", [_accelerator(name, length, how)])]))
    if how.threads:
        threads = [("key", "intra_op_thread_count"), ("value", [("string_value", str(how.threads))])]
        message.append(("parameters", threads))
    message += _warmup(length, how)
    return text_of(message)


def _accelerator(name: str, length: int, how: Serving) -> tuple[str, Message]:
    if how.accelerator == "openvino":
        return ("cpu_execution_accelerator", [("name", "openvino")])
    shapes = {
        "min": (1, 1),
        "opt": (max(1, how.max_batch_size // 4), min(64, length)),
        "max": (how.max_batch_size, length),
    }
    options = {
        # No precision: TensorRT computes in the types that the file's tensors have.
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": f"/tmp/tensorrt-{name}",  # inside the server's container
        **{
            f"trt_profile_{which}_shapes": ",".join(f"{item}:{rows}x{tokens}" for item in INPUTS)
            for which, (rows, tokens) in shapes.items()
        },
    }
    parameters = [("parameters", [("key", key), ("value", value)]) for key, value in options.items()]
    return ("gpu_execution_accelerator", [("name", "tensorrt"), *parameters])


def _warmup(length: int, how: Serving) -> Message:
    """Requests that run before the model counts as ready: the first one must not pay for memory or compilation."""
    sizes = {1: "one", how.max_batch_size: "full"} if how.accelerator == "tensorrt" else {1: "one"}
    # Zeros: random ids would lie outside the vocabulary.
    zeros = [("data_type", Word("TYPE_INT64")), ("dims", length), ("zero_data", True)]
    inputs = [("inputs", [("key", name), ("value", zeros)]) for name in INPUTS]
    return [("model_warmup", [("name", name), ("batch_size", size), *inputs]) for size, name in sizes.items()]


def fastdeploy(output: str, dims: Sequence[int], how: Serving) -> str:
    """config.pbtxt for FastDeploy's backend, whose engine on a CPU and on a GPU is Paddle Inference."""
    message: list[Field] = [("backend", "fastdeploy"), ("max_batch_size", how.max_batch_size)]
    for name in INPUTS:
        message.append(("input", [("name", name), ("data_type", Word("TYPE_INT64")), ("dims", -1)]))
    message += [
        ("output", [("name", output), ("data_type", Word("TYPE_FP32")), *(("dims", size) for size in dims)]),
        ("instance_group", [("count", how.instances), ("kind", Word(f"KIND_{how.device.upper()}"))]),
        ("dynamic_batching", [("max_queue_delay_microseconds", how.max_queue_delay_us)]),
    ]
    options = {"cpu_threads": str(how.threads)} if how.threads else {}
    if how.device == "cpu":
        options["use_mkldnn"] = "0"  # with oneDNN, Paddle 3 computes other logits for TinyBERT
    parameters = [("parameters", [("key", key), ("value", value)]) for key, value in options.items()]
    engine = (f"{how.device}_execution_accelerator", [("name", "paddle"), *parameters])
    message.append(("optimization", [("execution_accelerators", [engine])]))
    return text_of(message)


# Paddle Serving's numbers for types.
_INT64, _FLOAT32 = 0, 1
Variable = tuple[str, str, bool, int, list[int]]  # name, alias, is_lod_tensor, type, sizes


def paddle_serving(output: str) -> tuple[str, bytes]:
    """Paddle Serving's description of a static model, as text (.prototxt) and serialized (.stream.prototxt).

    What its converter (paddle_serving_client.convert) writes for this model, but that the output's alias says what
    it is. Sizes that are free are left out there, and an output counts as of variable length.
    """
    feeds: list[Variable] = [(name, name, False, _INT64, []) for name in INPUTS]
    fetches: list[Variable] = [(output, OUTPUT, True, _FLOAT32, [-1])]
    message: list[Field] = []
    stream = b""
    for field, number, kind, variables in (
        ("feed_var", 2, "feed_type", feeds),
        ("fetch_var", 3, "fetch_type", fetches),
    ):
        for name, alias, is_lod, type_number, shape in variables:
            fields = [("name", name), ("alias_name", alias), ("is_lod_tensor", is_lod), (kind, type_number)]
            message.append((field, fields + [("shape", size) for size in shape]))
            stream += _wire_bytes(number, _variable(name, alias, is_lod, type_number, shape))
    return text_of(message), stream


def _variable(name: str, alias: str, is_lod: bool, type_number: int, shape: Sequence[int]) -> bytes:
    """FeedVar and FetchVar have the same fields: name 1, alias_name 2, is_lod_tensor 3, type 4, shape 5."""
    texts = _wire_bytes(1, name.encode()) + _wire_bytes(2, alias.encode())
    return texts + b"".join(
        _wire_number(*pair) for pair in ((3, int(is_lod)), (4, type_number), *((5, n) for n in shape))
    )


def _wire_bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _wire_number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value % (1 << 64))  # a negative number is 64 bits of two's complement


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
