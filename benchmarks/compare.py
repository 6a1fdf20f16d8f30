"""Ways to a faster classifier side by side: score, texts per second and latency of Predictors on one task, in turn.

    python benchmarks/compare.py --task_name MRPC --data_dir glue/MRPC --output_dir compare \\
        --ways "teacher=out/teacher" "width 2/3=out/w0.6667,precision=int8" \\
               "exits=out/exits,exit_threshold=policy" "recipe=out/fast,precision=int8,workers=2"

A way is NAME=BUNDLE with any of backend, precision, threads, workers, exit_threshold, exit_mode, batch_size. Texts go
in and answers come out, so tokenization counts. Throughput: all timed texts at once; latency: one text at a time. The
speed-ups are over the first way. Writes rows.json, table.md and plot.png.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
import dev_data

from ofa_bert.bundle.manifest import read_manifest
from ofa_bert.cli.process import run_command
from ofa_bert.errors import UserError
from ofa_bert.reporting import millions, table
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.system import environment
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions
from ofa_bert.system.timing import SPIN_SECONDS, in_turn
from ofa_bert.tasks.metrics import compute, main_score

SETTINGS = {"backend": str, "precision": str, "threads": int, "workers": int, "batch_size": int}
SETTINGS.update(exit_threshold=str, exit_mode=str)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", required=True, metavar="NAME=BUNDLE[,setting=value]")
    dev_data.add_arguments(parser)
    parser.add_argument(
        "--texts", type=arguments.above_zero, default=400, help="dev texts that are timed; scores are of all of dev"
    )
    parser.add_argument(
        "--singles", type=arguments.above_zero, default=100, help="texts that are answered one at a time"
    )
    parser.add_argument("--repeats", type=arguments.above_zero, default=5, help="timed rounds over all ways")
    parser.add_argument("--output_dir", default="compare")
    return parser.parse_args(argv)


def way_of(text):
    """(name, bundle, arguments of Predictor) of one --ways."""
    name, _, rest = text.partition("=")
    bundle, *settings = rest.split(",")
    if not name or not bundle:
        raise UserError(f"--ways {text}: must be NAME=BUNDLE, with settings after commas")
    arguments = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in SETTINGS or not value:
            raise UserError(f"--ways {text}: {setting!r} is none of {', '.join(f'{key}=...' for key in SETTINGS)}")
        try:
            arguments[key] = SETTINGS[key](value)
        except ValueError:
            raise UserError(f"--ways {text}: {key} {value} must be a whole number") from None
    return name, bundle, arguments


def one_by_one(predictor, texts):
    times = []
    for text in texts:
        started = time.perf_counter()
        predictor.logits([text])
        times.append((time.perf_counter() - started) * 1e3)
    return times


def measure(chosen, ways, task):
    texts, labels = dev_data.load(chosen, task)
    order = np.random.default_rng(0).permutation(len(texts))
    timed, singles = ([texts[i] for i in order[:count]] for count in (chosen.texts, chosen.singles))
    with ExitStack() as stack:
        opened = {name: stack.enter_context(Predictor(bundle, **more)) for name, (bundle, more) in ways.items()}
        answers = {name: predictor.answers(texts) for name, predictor in opened.items()}

        def settle(previous, following):
            time.sleep(SPIN_SECONDS)

        runs = {name: partial(predictor.logits, timed) for name, predictor in opened.items()}
        totals = in_turn(runs, chosen.repeats, warmup=1, settle=settle, label="throughput")
        alone = {name: [] for name in opened}
        runs = {name: lambda n=name, p=p: alone[n].append(one_by_one(p, singles)) for name, p in opened.items()}
        in_turn(runs, chosen.repeats, warmup=1, settle=settle, label="latency")
    rows = []
    for name, (bundle, more) in ways.items():
        single = np.concatenate(alone[name][1:])
        scores = compute(task, answers[name].logits, labels)
        layers = answers[name].layers
        rows.append(
            {
                "name": name,
                "bundle": bundle,
                **more,
                "score": main_score(task, scores),
                **scores,
                "parameters": read_manifest(bundle).parameters,
                "mean_layers": float(layers.mean()) if layers.any() else None,
                "texts_per_second": len(timed) * 1e3 / float(np.median(totals[name])),
                "p50_ms": float(np.percentile(single, 50)),
                "p95_ms": float(np.percentile(single, 95)),
            }
        )
    for row in rows:
        row["speedup"] = row["texts_per_second"] / rows[0]["texts_per_second"]
        row["latency_speedup"] = rows[0]["p50_ms"] / row["p50_ms"]
    return rows


def printable(rows, metric):
    shown = [
        {
            "way": row["name"],
            metric: f"{row['score']:.4f}",
            "parameters": millions(row["parameters"]),
            "texts/s": f"{row['texts_per_second']:.0f}",
            "faster": f"{row['speedup']:.1f}x",
            "ms p50": f"{row['p50_ms']:.2f}",
            "ms p95": f"{row['p95_ms']:.2f}",
            "sooner": f"{row['latency_speedup']:.1f}x",
        }
        for row in rows
    ]
    return table(shown)


def plot(rows, metric, path):
    # Drawing is the only thing that needs matplotlib, and it takes a second to import.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axis = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for number, row in enumerate(rows):
        axis.plot(row["texts_per_second"], row["score"], "o", markersize=9, color=f"C{number % 10}", label=row["name"])
    axis.set(xscale="log", xlabel="texts per second", ylabel=f"dev {metric}")
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize="small")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def work(argv=None):
    chosen = parse(argv)
    if min(chosen.texts, chosen.singles, chosen.repeats) < 1:
        raise UserError("--texts, --singles and --repeats must be above 0")
    environment.prepare()
    named = [way_of(text) for text in chosen.ways]
    ways = {name: (bundle, more) for name, bundle, more in named}
    if len(ways) < len(named):
        raise UserError("--ways: every way needs a name of its own")
    tasks = {bundle: read_manifest(bundle).task for bundle, _ in ways.values()}
    task = next(iter(tasks.values()))
    other = [bundle for bundle, each in tasks.items() if each is None or each != task]
    if other:
        raise UserError(f"{other[0]}: has no task or another one than the first bundle")
    rows = measure(chosen, ways, task)
    output = Path(chosen.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    about = {"task": task.name, **machine("cpu"), "versions": versions(), "setting": vars(chosen), "rows": rows}
    (output / "rows.json").write_text(json.dumps(about, indent=1) + "\n")
    text = printable(rows, task.metrics[0])
    (output / "table.md").write_text(text + "\n")
    plot(rows, task.metrics[0], output / "plot.png")
    sys.stdout.write(f"{task.name}, {about['processor']}, {about['cores']} core(s)\n\n{text}\n")


def main(argv=None):
    return run_command(work, argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
