"""Write the ONNX files that gpu_onnx.py measures: our exporter's, of any shape, as graphs whose weights are left out.

    python benchmarks/gpu_onnx_files.py --output_dir output/gpu                           BERT-base and gte-small
    python benchmarks/gpu_onnx_files.py --output_dir output/gpu --shapes 2x48x4x96 --sub_models w1      a try

A shape is layers x hidden x heads x FFN neurons. Speed does not depend on the weights' values, so they are random, and
a graph of BERT-base travels to the GPU's machine as kilobytes: models.json says which weights gpu_onnx.py is to make.
Needs Paddle, as exporting does; --peers also needs PyTorch and transformers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments

from ofa_bert.submodels.values import ModelShape, SubModelConfig, even_layers, uniform
from ofa_bert.system import environment

SHAPES = ("12x768x12x3072", "12x384x12x1536")
SUB_MODELS = ("w1", "w0.6667", "w0.6667_d0.5")
SMALLEST = 4096  # bytes; smaller tensors stay in the graph, sizes and other constants among them


def shape_of(text: str, vocabulary: int) -> ModelShape:
    layers, hidden, heads, ffn = map(int, text.split("x"))
    return ModelShape(layers, hidden, heads, hidden // heads, ffn, vocabulary, 512, 2, 2)


def multipliers(text: str) -> tuple[float, float]:
    """ "w0.6667_d0.5" -> (0.6667, 0.5)."""
    width, _, depth = text.partition("_")
    return float(width[1:]), float(depth[1:] or 1)


def sub_model_of(shape: ModelShape, text: str) -> SubModelConfig:
    width, depth = multipliers(text)
    return uniform(shape, exact(width), even_layers(shape.num_layers, depth))


def exact(width: float) -> float:
    """0.6667 means 2/3: 8 of 12 heads, but also 2048 of 3072 neurons."""
    return next((n / 12 for n in range(1, 13) if abs(n / 12 - width) < 1e-3), width)


def supernet(shape: ModelShape, directory: Path) -> None:
    """A BERT with random weights in the layout that export_model.py reads."""
    from paddlenlp.transformers import BertConfig, BertTokenizer

    from ofa_bert.models.directories import save_model
    from ofa_bert.models.families.registry import model_class
    from ofa_bert.models.record import ModelRecord
    from ofa_bert.tasks.task import Task

    config = BertConfig(
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
    )  # fmt: skip
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = directory.with_suffix(".txt")
    vocabulary.write_text("\n".join(marks + [f"w{i}" for i in range(shape.vocab_size - len(marks))]) + "\n")
    record = ModelRecord(
        kind="teacher", task=Task("none", ("0", "1"), ("accuracy",), ("text",)), model_type="bert", max_seq_length=128,
        seed=0, shape=shape,
    )  # fmt: skip
    save_model(directory, model_class("bert")(config), BertTokenizer(str(vocabulary)), record)


def exported(
    source: Path, sub_model: SubModelConfig, precisions: list[str], scratch: Path
) -> Iterator[tuple[str, str, Path]]:
    """(side, precision, file) of every ONNX model that export_model.py makes; "fused" for the CUDA provider's own."""
    import export_model
    from ofa_bert.bundle.manifest import read_manifest

    (scratch / "sub_model.json").write_text(json.dumps(sub_model.to_json()))
    argv = ["--model_name_or_path", str(source), "--sub_model_output_dir", str(scratch / "dynamic")]
    argv += ["--static_sub_model", str(scratch / "static"), "--onnx", "--device", "cpu", "--allow_untrained"]
    argv += ["--precision", *precisions, "--fused"]
    if export_model.main([*argv, "--sub_model", str(scratch / "sub_model.json")]):
        raise SystemExit(1)
    for model in read_manifest(scratch / "static").models:
        if model.format == "onnx" and model.precision in precisions:
            yield "fused" if model.fused else "portable", model.precision, scratch / "static" / model.files[0]


def peers(
    shape: ModelShape, sub_model: SubModelConfig, precisions: list[str], scratch: Path
) -> Iterator[tuple[str, str, Path]]:
    """The same shape as Hugging Face and ONNX Runtime's own optimiser export it."""
    from ofa_bert.bench.peers import hugging_face
    from ofa_bert.bench.peers.base import Job

    job = Job(hugging_face.PLAIN, shape, sub_model, str(scratch / "peer"), tuple(precisions), gpu=True)
    (written,) = hugging_face.write([job])
    for precision, file in written.files.items():
        yield job.peer, precision, Path(file)


def without_weights(source: Path, target: Path) -> list[dict[str, Any]]:
    """Write the graph of an ONNX model, its large tensors left out; returns what describes those.

    The graph looks for them in <target>.bin, at the offsets that the descriptions give.
    """
    import onnx
    from onnx.external_data_helper import set_external_data

    model = onnx.load(str(source))
    offset, described = 0, []
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.nbytes < SMALLEST or array.dtype.kind != "f":
            continue
        described.append({
            "name": tensor.name, "dtype": str(array.dtype), "shape": list(array.shape), "offset": offset,
            "mean": float(array.astype("f8").mean()), "std": float(array.astype("f8").std()),
        })  # fmt: skip
        tensor.raw_data = b""  # set_external_data wants the field to be there
        set_external_data(tensor, target.name + ".bin", offset, array.nbytes)
        for field in ("raw_data", "float_data", "int32_data"):
            tensor.ClearField(field)
        offset += -(-array.nbytes // 4096) * 4096  # pages, for whoever maps the file
    onnx.save_model(model, str(target))
    return described


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", required=True, help="where the graphs and models.json go")
    parser.add_argument(
        "--shapes",
        type=arguments.shape,
        nargs="+",
        default=list(SHAPES),
        help=f"layers x hidden x heads x FFN [{SHAPES}]",
    )
    parser.add_argument(
        "--sub_models",
        type=arguments.sub_model,
        nargs="+",
        default=list(SUB_MODELS),
        help=f"w<width>_d<depth> [{SUB_MODELS}]",
    )
    parser.add_argument("--precisions", nargs="+", default=["fp32", "fp16"], choices=("fp32", "fp16"))
    parser.add_argument("--peers", action="store_true", help="also Hugging Face's optimised export of each shape")
    parser.add_argument(
        "--vocabulary", type=arguments.above_zero, default=30522, help="rows of the word embedding [30522]"
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    environment.prepare()
    output = Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    entries: list[dict[str, Any]] = []
    for text in options.shapes:
        shape = shape_of(text, options.vocabulary)
        with tempfile.TemporaryDirectory() as scratch:
            supernet(shape, Path(scratch, "full"))
            for name in options.sub_models:
                sub_model, place = sub_model_of(shape, name), Path(scratch, name)
                place.mkdir()
                found = list(exported(Path(scratch, "full"), sub_model, options.precisions, place))
                if options.peers:
                    found += peers(shape, sub_model, options.precisions, place)
                for side, precision, file in found:
                    target = output / f"{text}-{name}-{side}-{precision}.onnx"
                    entries.append({
                        "shape": text, "sub_model": name, "side": side, "precision": precision, "file": target.name,
                        "full": shape.to_json(), "kept": sub_model.to_json(),
                        "weights": without_weights(file, target),
                    })  # fmt: skip
                shutil.rmtree(place)
                (output / "models.json").write_text(json.dumps(entries, indent=1) + "\n")
    print(f"{len(entries)} graphs in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
