"""Write the bundles whose engines `python -m ofa_bert engine` compiles: a BERT of any shape at three sizes.

    python benchmarks/tensorrt_bundles.py --output_dir output/tensorrt --shape 12x768x12x3072
    python benchmarks/tensorrt_bundles.py --output_dir output/int8 --shape 12x384x12x1536 --vocabulary 30522 \\
        --length 128 --precision int8 int8-static            gte-small's shape, to `bench` beside peers on a CPU

Width 1, width 2/3, and width 2/3 with half the layers, each in fp32, fp16 and both forms of int8-static unless
others are asked for. Neither size
nor speed of an engine depends on the weights' values, so they are random, LayerNorms and biases included. Needs Paddle,
as exporting does; the engines need none.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
from gpu_onnx_files import SUB_MODELS, shape_of, sub_model_of

from ofa_bert.bundle.entries import FILE_PRECISIONS
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.system import environment
from ofa_bert.tasks.task import Task

TASK = Task("random", ("a", "b"), ("accuracy",), ("text",))
PRECISIONS = ("fp32", "fp16", "int8-static", "int8-static-fp16")


class Words:
    """Stands in for a tokenizer: nobody reads a text."""

    def save_pretrained(self, directory: str) -> None:
        pass


def write(
    shape: ModelShape,
    sub_models: dict[str, SubModelConfig],
    output_dir: Path,
    length: int,
    precisions: Sequence[str] = PRECISIONS,
) -> None:
    """output_dir/<name> for each sub-model of one random model."""
    from ofa_bert.export.bundle import export_bundle
    from ofa_bert.export.checks import Data
    from ofa_bert.models.record import ModelRecord
    from ofa_bert.models.supernet import extract

    model, sentences = random_bert(shape), encoded(24, length, shape.vocab_size)
    for name, sub_model in sub_models.items():
        record = ModelRecord(task=TASK, model_type="bert", shape=shape, sub_model=sub_model)
        export_bundle(
            extract(model, sub_model), Words(), record, output_dir / name, length, onnx=True, precisions=precisions,
            data=Data(TASK, sentences, {"dev": sentences}), max_drop=100,
        )  # fmt: skip


def random_bert(shape: ModelShape):
    from paddlenlp.transformers import BertConfig

    from ofa_bert.models.families.registry import model_class

    config = BertConfig(
        vocab_size=shape.vocab_size, hidden_size=shape.hidden_size, num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.num_heads, intermediate_size=shape.ffn_size, num_labels=shape.num_labels,
        max_position_embeddings=shape.max_positions, type_vocab_size=shape.type_vocab_size,
    )  # fmt: skip
    model, rng = model_class("bert")(config), np.random.default_rng(0)
    for name, parameter in model.named_parameters():
        around = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.set_value(rng.normal(around, 0.05, parameter.shape).astype("float32"))
    model.eval()
    return model


def encoded(count: int, length: int, vocabulary: int):
    from ofa_bert.data.encoding.encoded import Encoded

    rng = np.random.default_rng(0)
    ids = [rng.integers(5, vocabulary, rng.integers(3, length + 1)) for _ in range(count)]
    return Encoded(ids, [np.zeros_like(row) for row in ids], rng.integers(0, 2, count))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output_dir", required=True, help="where the bundles go")
    parser.add_argument(
        "--shape", type=arguments.shape, default="4x48x6x96", help="layers x hidden x heads x FFN neurons"
    )
    parser.add_argument("--vocabulary", type=arguments.above_zero, default=100, help="tokens")
    parser.add_argument("--length", type=arguments.above_zero, default=32, help="longest input in tokens")
    parser.add_argument("--precision", nargs="+", choices=FILE_PRECISIONS, default=PRECISIONS)
    config = parser.parse_args(argv)
    environment.prepare()
    shape = shape_of(config.shape, config.vocabulary)
    sub_models = {name: sub_model_of(shape, name) for name in SUB_MODELS}
    write(shape, sub_models, Path(config.output_dir), config.length, config.precision)
    return 0


if __name__ == "__main__":
    sys.exit(main())
