"""What it saves to compute the last layer for the first token alone: ONNX files with and without it, timed in turn.

    python benchmarks/last_layer.py                                                gte-small's shape, ONNX Runtime
    python benchmarks/last_layer.py --engine openvino --precision fp32 int8-static
    python benchmarks/last_layer.py --shape 2x48x4x96 --sub_models w1 --repeats 3  a try

The weights are random: speed does not depend on them. The two files' logits are compared as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
import gpu_onnx_files

from ofa_bert.reporting import table
from ofa_bert.runtime.backends.base import Logits
from ofa_bert.runtime.opening import open_files
from ofa_bert.system import environment
from ofa_bert.system.timing import in_turn


def written(source: Path, sub_model: str, precision: str, folder: Path, alone: bool) -> Path:
    """The ONNX file of a sub-model; not `alone`: with the last layer computed for every token, as any other is."""
    from ofa_bert.bundle.manifest import INPUTS, OUTPUT
    from ofa_bert.export.onnx import writer
    from ofa_bert.export.onnx.form import Form
    from ofa_bert.export.onnx.graph import Graph
    from ofa_bert.models.directories import load_model
    from ofa_bert.models.encoder import shape_of
    from ofa_bert.models.supernet import extract

    class EveryToken(writer.Writer):
        def first_attended(self, index: int, layer: Any, x: str, mask: str) -> str:
            return self.attended(index, layer, self.attention(index, layer.self_attn, x, mask), x)

        def head(self, first: str) -> None:
            super().head(self.graph.node("Gather", first, self.graph.integers(0), axis=1))

    model, _, _ = load_model(source)
    small = extract(model, gpu_onnx_files.sub_model_of(shape_of(model), sub_model))
    small.eval()
    names = [f"layer{place}.{part}" for place in range(len(writer.encoder_layers(small))) for part in writer.ENTERING]
    forms = {"fp32": Form(), "int8": Form("dynamic"), "int8-static": Form("static", scales=dict.fromkeys(names, 0.05))}
    graph = Graph(np.float32, {name: tensor.numpy() for name, tensor in small.state_dict().items()})
    (writer.Writer if alone else EveryToken)(small, forms[precision], graph).write()
    path = folder / f"{sub_model}-{precision}-{alone}.onnx"
    writer.save(graph.finish(INPUTS, OUTPUT, writer.output_dims(small), writer.OPSET), path, forms[precision])
    return path


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", type=arguments.shape, default="12x384x12x1536", help="[12x384x12x1536]")
    parser.add_argument(
        "--sub_models", type=arguments.sub_model, nargs="+", default=["w1", "w0.6667_d0.5"], help="[w1 w0.6667_d0.5]"
    )
    parser.add_argument("--engine", choices=("onnx_runtime", "openvino"), default="onnx_runtime")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "int8", "int8-static"), default=["fp32"])
    parser.add_argument("--batch", type=arguments.above_zero, nargs="+", default=[1, 16], help="[1 16]")
    parser.add_argument("--length", type=arguments.above_zero, default=128, help="tokens [128]")
    parser.add_argument("--repeats", type=arguments.above_zero, default=20, help="timed rounds [20]")
    parser.add_argument("--threads", type=arguments.above_zero, default=environment.cores(), help="[all cores]")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    environment.prepare()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        shape = gpu_onnx_files.shape_of(options.shape, 30522)
        gpu_onnx_files.supernet(shape, Path(scratch, "full"))
        for sub_model in options.sub_models:
            for precision in options.precision:
                runs: dict[bool, Callable[[np.ndarray, np.ndarray], Logits]] = {}
                for alone in (False, True):
                    path = written(Path(scratch, "full"), sub_model, precision, Path(scratch), alone)
                    runs[alone] = open_files([path], options.engine, precision, "cpu", options.threads).run
                for batch in options.batch:
                    rows.append(measured(options, sub_model, precision, batch, runs))
    print(table(rows))
    return 0


def measured(
    options: argparse.Namespace,
    sub_model: str,
    precision: str,
    batch: int,
    runs: dict[bool, Callable[[np.ndarray, np.ndarray], Logits]],
) -> dict[str, str]:
    ids = np.random.default_rng(0).integers(1000, 30000, (batch, options.length))
    types = np.zeros_like(ids)
    logits = {alone: run(ids, types) for alone, run in runs.items()}
    times = in_turn({alone: lambda run=run: run(ids, types) for alone, run in runs.items()}, options.repeats)
    every, alone = (statistics.median(times[side]) for side in (False, True))
    return {
        "sub-model": sub_model,
        "precision": precision,
        "batch": str(batch),
        "every token, ms": f"{every:.2f}",
        "first token, ms": f"{alone:.2f}",
        "speed-up": f"{every / alone:.2f}x",
        "logits differ by": f"{np.abs(logits[True] - logits[False]).max():.1e}",
    }


if __name__ == "__main__":
    sys.exit(main())
