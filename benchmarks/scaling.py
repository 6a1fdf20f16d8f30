"""How the time of our training step grows: with the number of sub-models, with depth, with processes.

    python benchmarks/scaling.py                  rows to output/scaling.json, the picture to output/scaling.png
    python benchmarks/scaling.py --processes 1 4 8    on a machine with more cores
    python benchmarks/scaling.py --layers 2 --hidden 48 --length 8 --batch 4 --repeats 1        a quick look

The setup is train_step.py's "ours". One process trains the whole batch, n train an n-th of it each, in turn. With n
sub-models, their heads and neurons are spread evenly from all to half, so that the mean size, three quarters, is the
same for every n, and only their number changes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
import numpy as np
import train_step
import turns

from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.values import ModelShape, SubModelConfig

COUNTS = (1, 2, 4, 8)
POSITIONS = train_step.bert(1).max_positions


def spread(shape: ModelShape, count: int) -> list[SubModelConfig]:
    """`count` sub-models of all layers whose mean size is three quarters of the full model."""
    sizes = [1 - 0.5 * i / (count - 1) for i in range(count)] if count > 1 else [0.75]
    layers = tuple(range(shape.num_layers))
    return [
        SubModelConfig(
            layers,
            (max(1, round(shape.num_heads * size)),) * len(layers),
            (max(1, round(shape.ffn_size * size)),) * len(layers),
        )
        for size in sizes
    ]


def measure(layers: int, counts: Sequence[int], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Rows for one depth: every number of sub-models with every number of processes, all of them in turn."""
    shape = train_step.bert(layers, options.hidden)
    case = train_step.Case(shape, "ours", options.length, options.batch)
    orders = {count: {"sub_models": [one.to_json() for one in spread(shape, count)]} for count in counts}
    with ExitStack() as stack:
        spec = train_step.spec(case, "ours", options)
        sides = [stack.enter_context(turns.Side(spec, "ours", processes)) for processes in options.processes]
        for side in sides:
            side.wait_until_ready()
        times: dict[tuple[int, int], list[float]] = {}
        for number in range(options.warmup + options.repeats):
            for count, order in orders.items():
                for side in sides:
                    seconds = side.round(order, keep=False)
                    if number >= options.warmup:
                        times.setdefault((count, side.processes), []).append(seconds)
        found = []
        for side in sides:
            for count in counts:
                side.times = times[count, side.processes]
                found.append(row(case, side, spread(shape, count), options))
        return found


def row(case: train_step.Case, side: turns.Side, sub_models: list[SubModelConfig], options: argparse.Namespace) -> dict:
    full = spread(case.shape, 2)[0]
    flops = count_flops(case.shape, full, case.length) + 3 * sum(
        count_flops(case.shape, one, case.length) for one in sub_models
    )
    return {
        **train_step.row("scaling", case, side, options),
        "widths": None,
        "matrix_gflop_per_step": flops * case.batch / 1e9,
        # Of losses and of the peak, a worker that runs several orders knows only the mixture.
        "loss_per_repeat": None,
        "peak_memory_mb": None,
        "sub_models": [one.to_json() for one in sub_models],
        "number_of_sub_models": len(sub_models),
        "layers": case.shape.num_layers,
    }


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: (seconds with none, seconds for each more)."""
    slope, intercept = np.polyfit(*zip(*points), 1)
    return float(intercept), float(slope)


def select(rows: list[dict], processes: int, of: str, **fixed: int) -> list[tuple[int, float]]:
    """(number of sub-models or of layers, median seconds) of the rows with these fixed values."""
    chosen = [one for one in rows if one["processes"] == processes and all(one[k] == v for k, v in fixed.items())]
    return sorted((one[of], one["median_seconds_per_step"]) for one in chosen)


def plot(rows: list[dict], layers: int, count: int, path: Path) -> None:
    """Two panels: against the number of sub-models at `layers` layers, against layers with `count` sub-models."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
    panels = (
        (axes[0], "number_of_sub_models", {"layers": layers}, "sub-models per step", f"{layers} layers"),
        (axes[1], "layers", {"number_of_sub_models": count}, "layers", f"{count} sub-models"),
    )
    for axis, of, fixed, label, title in panels:
        for index, processes in enumerate(sorted({one["processes"] for one in rows})):
            colour = f"C{index}"
            points = select(rows, processes, of, **fixed)
            name = f"{processes} process" + (f"es, 1/{processes} of the batch each" if processes > 1 else "")
            if len(points) > 1:
                start, slope = line(points)
                name += f": {start:.2g} + {slope:.2g} n  s"
                ends = [0, points[-1][0]]
                axis.plot(ends, [start + slope * x for x in ends], "--", color=colour, linewidth=1)
            axis.plot(*zip(*points), "o", color=colour, label=name)
            axis.set_xticks([x for x, _ in points])
        axis.set(xlabel=label, ylabel="seconds per optimizer step", title=title, xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
        axis.legend(loc="lower right")  # where lines that rise leave room
    one = rows[0]
    figure.suptitle(
        f"Supernet step, hidden {one['shape']['hidden_size']}, batch {one['batch']} x {one['length']} tokens"
    )
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--layers", type=arguments.above_zero, nargs="+", default=[6, 3, 12], help="the first one is swept [6 3 12]"
    )
    parser.add_argument("--hidden", type=arguments.hidden_size, default=384, help="hidden size, a multiple of 12 [384]")
    parser.add_argument("--length", type=arguments.above_zero, default=64, help="tokens [64]")
    parser.add_argument(
        "--batch", type=arguments.above_zero, default=32, help="sentences per step, of all processes together [32]"
    )
    parser.add_argument("--repeats", type=arguments.above_zero, default=3, help="timed rounds [3]")
    parser.add_argument("--warmup", type=arguments.not_negative, default=1, help="untimed rounds before [1]")
    parser.add_argument("--seed", type=arguments.not_negative, default=1, help="of weights and data [1]")
    parser.add_argument("--output", default="output/scaling.json", help="rows; the picture stands beside them")
    parser.add_argument(
        "--processes", type=arguments.above_zero, nargs="+", default=[1, 2], help="how many train together [1 2]"
    )
    options = parser.parse_args(argv)
    if options.length > POSITIONS:
        parser.error(f"--length {options.length}: the models have positions for {POSITIONS} tokens")
    if any(options.batch % processes for processes in options.processes):
        parser.error(f"--batch {options.batch} must be a multiple of every one of --processes")
    options.sst2 = options.encoder = None
    options.command = ["python", "benchmarks/scaling.py", *(sys.argv[1:] if argv is None else argv)]
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    rows: list[dict] = []
    swept = options.layers[0]
    fixed_count = COUNTS[2]
    for layers in options.layers:
        print(f"{layers} layers ...", file=sys.stderr, flush=True)
        rows += measure(layers, COUNTS if layers == swept else (fixed_count,), options)
        train_step.write(options.output, rows)
    picture = Path(options.output).with_suffix(".png")
    plot(rows, swept, fixed_count, picture)
    print("| layers | sub-models | processes | s/step | samples/s | GFLOP/s |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for one in rows:
        median, gflop = one["median_seconds_per_step"], one["matrix_gflop_per_step"]
        cells = [one["layers"], one["number_of_sub_models"], one["processes"], f"{median:.3g}"]
        print("| " + " | ".join(map(str, [*cells, f"{one['samples_per_second']:.1f}", f"{gflop / median:.0f}"])) + " |")
    print(f"\nrows: {options.output}; picture: {picture}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
