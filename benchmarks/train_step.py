"""The supernet's training step against PaddleNLP's own flow, run in turn, each in a process of its own.

    python benchmarks/train_step.py --sst2 DIR --encoder DIR       everything, 10 to 15 minutes on 2 free cores
    python benchmarks/train_step.py --only minilm-64-ours           a single case; --only may be repeated

DIR: SST-2's train.tsv and dev.tsv; an encoder whose tokenizer is used (all-MiniLM-L6-v2). Without them, no SST-2 case.
Both sides: one optimizer step on widths 1, 5/6, 2/3, 1/2, random weights, teacher = same weights. The peer and what had
to be repaired in it: paddlenlp_flow.py. A case's name ends in its setup:
    ours       environment.prepare() in both: MKL's path, malloc, threads, FLAGS_use_stride_kernel=0
    installed  each as its package runs by itself: nothing set for the peer, ours prepares itself
Synthetic sentences all have the same length. On SST-2 both sides train the same sentences: the peer in random batches
padded to their longest, ours in batches of like lengths. Tokenizing and padding are not timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
import turns

from ofa_bert.submodels.counting import count_flops
from ofa_bert.submodels.values import ModelShape, uniform
from ofa_bert.system import environment
from ofa_bert.system.machine import processor
from ofa_bert.system.provenance import versions

WIDTHS = (1.0, 5 / 6, 2 / 3, 0.5)


def bert(layers: int, hidden: int = 384, heads: int = 12, ffn: int = 1536, vocab: int = 30522) -> ModelShape:
    """all-MiniLM-L6-v2's shape but for the depth."""
    return ModelShape(layers, hidden, heads, hidden // heads, ffn, vocab, 512, 2, 2)


@dataclass(frozen=True)
class Case:
    """What both sides train on. `sentences` above 0: that many of SST-2, else one batch of `length` tokens."""

    shape: ModelShape
    setup: str
    length: int = 0
    batch: int = 32
    sentences: int = 0
    processes: tuple[int, ...] = (1,)  # our side runs once with each

    @property
    def steps(self) -> int:
        """Optimizer steps in a round."""
        return max(1, self.sentences // self.batch)

    @property
    def samples(self) -> int:
        return self.steps * self.batch


# In the order of what they tell: a run that is cut short has the first ones.
CASES = {
    "minilm-64-ours": Case(bert(6), "ours", 64, processes=(1, 2)),
    "sst2-ours": Case(bert(6), "ours", sentences=256, processes=(1, 2)),
    "minilm-64-installed": Case(bert(6), "installed", 64, processes=(1, 2)),
    "minilm-128-ours": Case(bert(6), "ours", 128, processes=(1, 2)),
    "12x384-64-ours": Case(bert(12), "ours", 64, processes=(1, 2)),
    "12x384-128-ours": Case(bert(12), "ours", 128),
    "sst2-installed": Case(bert(6), "installed", sentences=256),
    "minilm-128-installed": Case(bert(6), "installed", 128),
    "12x384-64-installed": Case(bert(12), "installed", 64),
    "12x384-128-installed": Case(bert(12), "installed", 128),
}
# The slow ones are run by name: the peer needs a minute and more for a step there.
ON_REQUEST = ("sst2-installed", "minilm-128-installed", "12x384-64-installed", "12x384-128-installed")


def spec(case: Case, side: str, options: argparse.Namespace, dropout: float | None = None) -> dict[str, Any]:
    """What step_worker.py is told."""
    return {
        "side": side,
        "shape": case.shape.to_json(),
        "batch": case.batch,
        "length": case.length,
        "sentences": case.sentences,
        "sst2": options.sst2 if case.sentences else None,
        "encoder": options.encoder,
        "widths": WIDTHS,
        "dropout": dropout,
        "seed": options.seed,
    }


def order(shape: ModelShape, widths=WIDTHS) -> dict[str, Any]:
    """What a round trains, for either side."""
    return {"widths": list(widths), "sub_models": [uniform(shape, width).to_json() for width in widths]}


def run_case(name: str, case: Case, options: argparse.Namespace, dropout: float | None = None) -> list[dict]:
    """One row per side."""
    with ExitStack() as stack:
        sides = [stack.enter_context(turns.Side(spec(case, "paddlenlp", options, dropout), case.setup))]
        for processes in case.processes:
            ours = turns.Side(spec(case, "ours", options, dropout), "ours", processes)
            sides.append(stack.enter_context(ours))
        turns.in_turn(sides, order(case.shape), options.repeats, options.warmup, options.seconds)
        return [row(name, case, side, options) for side in sides]


def row(name: str, case: Case, side: turns.Side, options: argparse.Namespace) -> dict[str, Any]:
    median = statistics.median(side.times) / case.steps
    return {
        "case": name,
        "side": side.spec["side"],
        "setup": side.setup,
        "processes": side.processes,
        "device": "cpu",
        "cpu": processor(),
        "cores": environment.cores(),
        "precision": "float32",
        "versions": versions(),
        "seed": options.seed,
        "shape": asdict(case.shape),
        "data": "SST-2" if case.sentences else "synthetic",
        "length": case.length or None,
        "mean_padded_length": side.tokens / case.samples,
        "batch": case.batch,
        "batch_per_process": case.batch // side.processes,
        "widths": list(WIDTHS),
        "steps_per_repeat": case.steps,
        "warmup_repeats": options.warmup,
        "seconds_per_step": [seconds / case.steps for seconds in side.times],
        "median_seconds_per_step": median,
        "samples_per_second": case.batch / median,
        "matrix_gflop_per_step": matrix_gflop(case.shape, case.length, case.batch) if case.length else None,
        "loss_per_repeat": side.losses,
        "peak_memory_mb": side.peak_mb,
        "memory_before_training_mb": side.start_mb,
        "command": " ".join(options.command),
    }


def matrix_gflop(shape: ModelShape, length: int, batch: int) -> float:
    """The matrix products that a step cannot do without: the teacher forward, each sub-model forward and backward."""
    flops = [count_flops(shape, uniform(shape, width), length) for width in WIDTHS]
    return batch * (flops[0] + 3 * sum(flops)) / 1e9


def table(rows: list[dict]) -> str:
    """Markdown; the ratios are to the peer's row of the same case."""
    lines = [
        "| case | side | processes | s/step median (least–most, n) | samples/s | mean length | GFLOP/s | peak MB"
        " | speed vs PaddleNLP | memory vs PaddleNLP |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in rows:
        peer = next(row for row in rows if row["case"] == one["case"] and row["side"] == "paddlenlp")
        times, gflop = one["seconds_per_step"], one["matrix_gflop_per_step"]
        cells = [
            one["case"],
            one["side"],
            one["processes"],
            f"{one['median_seconds_per_step']:.3g} ({min(times):.3g}–{max(times):.3g}, {len(times)})",
            f"{one['samples_per_second']:.2f}",
            f"{one['mean_padded_length']:.1f}",
            f"{gflop / one['median_seconds_per_step']:.0f}" if gflop else "",
            f"{one['peak_memory_mb']:.0f}",
            f"{one['samples_per_second'] / peer['samples_per_second']:.2f}",
            f"{one['peak_memory_mb'] / peer['peak_memory_mb']:.2f}",
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=CASES, help="run this case; may be repeated")
    parser.add_argument("--sst2", help="directory with SST-2's train.tsv and dev.tsv")
    parser.add_argument("--encoder", help="directory of the encoder whose tokenizer SST-2 is read with")
    parser.add_argument("--repeats", type=arguments.above_zero, default=5, help="timed repeats of each side [5]")
    parser.add_argument(
        "--warmup", type=arguments.not_negative, default=1, help="untimed repeats of each side before [1]"
    )
    parser.add_argument(
        "--seconds", type=float, default=90, help="after two timed repeats, start none that would end later [90]"
    )
    parser.add_argument("--seed", type=arguments.not_negative, default=1, help="of weights and data [1]")
    parser.add_argument("--output", default="output/train_step.json", help="where the rows go")
    options = parser.parse_args(argv)
    if bool(options.sst2) != bool(options.encoder):
        parser.error("--sst2 and --encoder go together")
    wanted = options.only or [name for name in CASES if name not in ON_REQUEST]
    if options.only and not options.sst2 and any(CASES[name].sentences for name in options.only):
        parser.error("an SST-2 case needs --sst2 and --encoder")
    options.cases = [name for name in wanted if options.sst2 or not CASES[name].sentences]
    options.command = ["python", "benchmarks/train_step.py", *(sys.argv[1:] if argv is None else argv)]
    return options


def write(path: str, rows: list[dict]) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    rows: list[dict] = []
    for name in options.cases:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += run_case(name, CASES[name], options)
        write(options.output, rows)  # after every case: a run that is cut short keeps what it has
    print(table(rows))
    print(f"\nrows: {options.output}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
