"""Several pinned instances against one instance with the same cores: texts per second of a bundle, in turn in one run.

    python benchmarks/instances.py --bundle out/MRPC-static --input glue/MRPC/dev.tsv --precision fp32 int8

One instance has all cores as threads of one process; the others are worker processes with one thread each, or with two
where there are cores for that. Batch size 1 is how requests come in that cannot wait for each other.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments

from ofa_bert import reporting
from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.data.table_files import read_table
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.system import environment
from ofa_bert.system.timing import in_turn


def texts_of(bundle, path, limit):
    table = read_table(path)
    places = [table.column(name) for name in read_manifest(bundle).task.text_columns]
    parts = [tuple(row[place].strip() for place in places) for _, row in table.rows[:limit]]
    return [part if len(part) == 2 else part[0] for part in parts]


def ways(cores):
    """(workers, threads) that all use the same number of cores; the first is the single instance."""
    return [(0, cores)] + [
        (cores // threads, threads) for threads in (2, 1) if cores % threads == 0 and cores > threads
    ]


def measure(options, precision, batch_size, texts):
    """One row per way, the single instance first."""
    with ExitStack() as stack:
        runs = {}
        for workers, threads in ways(options.cores):
            predictor = Predictor(options.bundle, options.backend, precision, threads, workers, batch_size=batch_size)
            stack.enter_context(predictor)
            runs[workers, threads] = lambda predictor=predictor: predictor.logits(texts)
        times = in_turn(runs, options.repeats, warmup=1)
    rates = {way: len(texts) / np.median(milliseconds) * 1e3 for way, milliseconds in times.items()}
    single = rates[0, options.cores]
    return [
        {
            "precision": precision,
            "batch": batch_size,
            "instances": workers or 1,
            "threads each": threads,
            "texts/s": f"{rate:.1f}",
            "ratio": f"{rate / single:.2f}x",
        }
        for (workers, threads), rate in rates.items()
    ]


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bundle", required=True, help="directory with a manifest.json")
    parser.add_argument("--input", required=True, help="file with the task's text columns")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--precision", nargs="+", default=["fp32"])
    parser.add_argument("--batch", type=arguments.above_zero, nargs="+", default=[1, 32])
    parser.add_argument(
        "--cores", type=arguments.above_zero, default=environment.cores(), help="cores that every way may use"
    )
    parser.add_argument("--texts", type=arguments.above_zero, default=400, help="how many of the file's texts")
    parser.add_argument("--repeats", type=arguments.above_zero, default=5, help="timed rounds over them")
    return parser.parse_args(argv)


def main(argv=None) -> int:
    options = parse(argv)
    environment.prepare(options.cores)
    texts = texts_of(options.bundle, options.input, options.texts)
    rows = [row for p in options.precision for b in options.batch for row in measure(options, p, b, texts)]
    print(f"{len(texts)} texts, {options.cores} cores, backend {options.backend}, median of {options.repeats} rounds")
    print(reporting.table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
