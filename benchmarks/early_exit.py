"""Early exits of bundles on dev: score and measured time at each threshold, beside the full models.

    python benchmarks/early_exit.py --bundles SST-2-exits-static --task_name SST-2 --data_dir glue/SST-2 \\
        --thresholds policy 0 0.05 0.1 0.2 0.3 0.45 --batch_sizes 1 32 --output_dir early-exit

    ... --bundles w1-static w0.6667-static w0.6667_d0.5-static      width, depth and exits in one picture

Everything runs in turn, round after round, in one process, in the same engine with the same threads and on the same
texts, sorted by length, in batches of the same size. Texts are tokenized beforehand. With batch size 1 each text is
answered by itself; above it, --pool batches advance together and who stays is packed into full ones. "full" is the
model in one piece; threshold 0 the same in parts. Thresholds on dev are a curve, not a choice: "policy" was chosen on
the held-out part of train. Time saved is against the same bundle's full model, speed-up against the first bundle's.
Writes rows.json, table.md and plot.png.
"""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import arguments
import dev_data

from ofa_bert.bundle.exits import FROM_POLICY, ExitPlan, exits_of, plan_of
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.cli.process import run_command
from ofa_bert.errors import UserError
from ofa_bert.exits.criteria.registry import CRITERIA
from ofa_bert.exits.loop import POOL_BATCHES, Answers
from ofa_bert.exits.policy import Policy, saving
from ofa_bert.reporting import table
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.runtime.backends.registry import BACKENDS
from ofa_bert.runtime.exits import ExitModel, Limits
from ofa_bert.runtime.opening import DEVICES, open_exit_parts, open_model
from ofa_bert.runtime.tokenizer import load_text_encoder
from ofa_bert.system import environment
from ofa_bert.system.provenance import versions
from ofa_bert.system.timing import in_turn
from ofa_bert.tasks.metrics import compute, main_score

ANY_LENGTH = 2**62  # tokens of a batch: only its texts are counted


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", nargs="+", required=True, help="exported from models with exits, of one task")
    dev_data.add_arguments(parser)
    parser.add_argument("--thresholds", nargs="+", default=[FROM_POLICY], help="numbers, and policy, the bundle's own")
    parser.add_argument("--criterion", choices=CRITERIA, help="what numbers are compared with; default: a bundle's own")
    parser.add_argument("--predicted", action="store_true", help="also predict the exits of the policy beforehand")
    parser.add_argument("--batch_sizes", nargs="+", type=arguments.above_zero, default=[1, 32])
    parser.add_argument("--pool", type=arguments.above_zero, default=POOL_BATCHES, help="batches that advance together")
    parser.add_argument(
        "--samples", type=arguments.above_zero, help="time so many dev texts of all lengths; scores are of all of dev"
    )
    parser.add_argument(
        "--repeats", type=arguments.above_zero, default=5, help="timed rounds after one more; the fastest counts"
    )
    parser.add_argument("--backend", default="onnx_runtime", choices=BACKENDS)
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--device", default="cpu", choices=DEVICES)
    parser.add_argument("--threads", type=arguments.above_zero, default=environment.cores())
    parser.add_argument("--output_dir", default="early-exit")
    return parser.parse_args(argv)


class Data:
    """Dev, tokenized and sorted by length: ids and token types [N, T], labels [N]."""

    def __init__(self, chosen, bundle):
        self.task = bundle.manifest.task
        texts, labels = dev_data.load(chosen, self.task)
        tokens, kinds = load_text_encoder(bundle.path, bundle.manifest.max_seq_length)(texts)
        order = np.argsort([-len(row) for row in tokens], kind="stable")
        self.labels = labels[order]
        self.lengths = np.asarray([len(tokens[i]) for i in order])
        self.ids = np.full([len(order), self.lengths[0]], bundle.manifest.pad_token_id, dtype=np.int64)
        self.types = np.zeros_like(self.ids)
        for row, i in enumerate(order):
            self.ids[row, : self.lengths[row]] = tokens[i]
            self.types[row, : self.lengths[row]] = kinds[i]

    def groups(self, rows, size):
        """(rows, ids, types) of `size` texts at a time, cut to the longest of them."""
        for start in range(0, len(rows), size):
            group = rows[start : start + size]
            longest = self.lengths[group[0]]
            yield group, self.ids[group, :longest], self.types[group, :longest]


class Way:
    """A full model, or its exits at one threshold: answers rows of the data at a batch size, by `run`."""

    def __init__(self, bundle, name, layers, make, pool, num_labels):
        self.bundle, self.name, self.layers = bundle, name, layers
        self.make, self.num_labels = make, num_labels
        self.pool = 1 if name == "full" else pool
        self.models = {}

    def open(self, size):
        if size not in self.models:
            self.models[size] = self.make(size)
        return self.models[size]

    def run(self, data, rows, size):
        together = 1 if size == 1 else size * (self.pool or len(rows))
        model, answers = self.open(size), Answers.empty(len(rows), self.num_labels)
        done = 0
        for group, ids, types in data.groups(rows, together):
            found = model.run(ids, types)
            logits, layers = found if isinstance(found, Answers) else (found, 0)
            mine = slice(done, done + len(group))
            answers.logits[mine], answers.layers[mine] = logits, layers
            done += len(group)
        return answers


def ways_of(chosen, bundle):
    """The bundle's full model, then each threshold."""
    entry, place = exits_of(bundle), str(bundle.path)
    how = {name: getattr(chosen, name) for name in ("backend", "precision", "device", "threads")}
    labels = bundle.manifest.num_labels
    whole, layers = open_model(bundle, **how), entry.layers
    ways = [Way(place, "full", layers, lambda size: whole, 1, labels)]
    every = ExitPlan(layers, Policy(entry.criterion, 1.0), tuple(range(len(layers) - 1)))
    on_gpu = chosen.device == "gpu"  # where predicted exits have graphs of their own
    parts = open_exit_parts(bundle, every, **how)  # which all thresholds share
    tried = [(value, "threshold") for value in dict.fromkeys(["0", *chosen.thresholds])]
    tried += [(FROM_POLICY, "predicted")] if chosen.predicted else []
    for value, mode in tried:
        criterion = None if value == FROM_POLICY else chosen.criterion
        plan = plan_of(bundle, value, mode, criterion)

        def sized(size, plan=plan):
            own = open_exit_parts(bundle, plan, **how) if plan.table is not None and on_gpu else parts
            return ExitModel(own, plan, labels, bundle.manifest.pad_token_id, Limits(size, ANY_LENGTH))

        name = f"{value}, predicted" if mode == "predicted" else str(value)
        # Predicted exits need no pool to refill from: texts of one exit come together from all of the data.
        ways.append(Way(place, name, layers, sized, None if mode == "predicted" else chosen.pool, labels))
        ways[-1].plan = plan
    return ways


def measure(chosen, data, ways):
    """One row for each way and batch size."""
    everything = np.arange(len(data.labels))
    count = min(chosen.samples or len(everything), len(everything))
    timed = everything[np.linspace(0, len(everything) - 1, count).astype(int)]
    rows = []
    for size in chosen.batch_sizes:
        runs = {(way.bundle, way.name): partial(way.run, data, timed, size) for way in ways}
        times = {key: values.tolist() for key, values in in_turn(runs, chosen.repeats, warmup=1).items()}
        alone = one_by_one(data, ways, timed, chosen.repeats) if size == 1 else {}
        for way in ways:
            key, full = (way.bundle, way.name), min(times[way.bundle, "full"])
            answers, depth = way.run(data, everything, size), way.layers[-1]
            layers = answers.layers if way.name != "full" else np.full(len(everything), depth)
            scores = compute(data.task, answers.logits, data.labels)
            total = min(times[key])
            rows.append(
                {
                    "bundle": way.bundle,
                    "name": way.name,
                    "batch_size": size,
                    "score": main_score(data.task, scores),
                    **scores,
                    "mean_layers": float(layers.mean()),
                    "layers_saved": saving(layers, depth),
                    "histogram": {end: int((layers == end).sum()) for end in way.layers},
                    "total_ms": total,
                    "rounds_ms": times[key],
                    "ms_per_text": total / count,
                    "time_saved": 1 - total / full,
                    "speedup": min(times[ways[0].bundle, "full"]) / total,
                    "p50_ms": alone.get(key),
                    **({"policy": way.plan.policy.to_json(), "ask": list(way.plan.ask)} if way.name != "full" else {}),
                }
            )
    return rows


def one_by_one(data, ways, timed, repeats):
    """(bundle, name) -> median over the texts of the fastest time of each, in ms; the ways take turns at every text."""
    best = {(way.bundle, way.name): [] for way in ways}
    for row in timed:
        runs = {(way.bundle, way.name): partial(way.run, data, np.asarray([row]), 1) for way in ways}
        for name, values in in_turn(runs, min(3, repeats), warmup=0).items():
            best[name].append(values.min())
    return {name: float(np.median(values)) for name, values in best.items()}


def printable(rows):
    shown = []
    for row in rows:
        p50 = "" if row["p50_ms"] is None else f"{row['p50_ms']:.2f}"
        histogram = " ".join(f"{end}:{count}" for end, count in row["histogram"].items() if count)
        shown.append(
            {
                "bundle": Path(row["bundle"]).name,
                "threshold": row["name"],
                "batch": row["batch_size"],
                "score": f"{row['score']:.4f}",
                "mean layers": f"{row['mean_layers']:.2f}",
                "layers saved": f"{row['layers_saved']:.1%}",
                "ms per text": f"{row['ms_per_text']:.3f}",
                "p50 ms": p50,
                "time saved": f"{row['time_saved']:.1%}",
                "speed-up": f"{row['speedup']:.2f}x",
                "answered after layer": histogram,
            }
        )
    return table(shown)


def plot(rows, path, title):
    # Drawing is the only thing that needs matplotlib, and it takes a second to import.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    sizes, bundles = sorted({row["batch_size"] for row in rows}), list(dict.fromkeys(row["bundle"] for row in rows))
    figure, axes = pyplot.subplots(1, len(sizes), figsize=(6 * len(sizes), 4.5), layout="constrained", squeeze=False)
    for axis, size in zip(axes[0], sizes):
        own = [row for row in rows if row["batch_size"] == size]
        for number, bundle in enumerate(bundles):
            color = f"C{number}"
            each = {row["name"]: (row["ms_per_text"], row["score"]) for row in own if row["bundle"] == bundle}
            curve = sorted(point for name, point in each.items() if name != "full" and "," not in name)
            axis.plot(*zip(*curve), "o-", color=color, markersize=4, label=f"{Path(bundle).name}, exits")
            axis.plot(*each["full"], "s", color=color, markersize=9, label=f"{Path(bundle).name}, no exits")
            for name, mark in ((FROM_POLICY, "D"), (f"{FROM_POLICY}, predicted", "^")):
                if name in each:
                    axis.plot(*each[name], mark, color=color, markeredgecolor="black", markersize=8, label=name)
        axis.step(*zip(*front(own)), where="post", color="grey", linewidth=5, alpha=0.3, zorder=0, label="Pareto front")
        axis.set(xlabel="ms per text", title=f"batch {size}")
        axis.grid(alpha=0.3)
    axes[0, 0].set(ylabel="score on dev")
    axes[0, -1].legend(fontsize="small")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def front(rows):
    """(ms per text, score) of the rows that none beats in both, fastest first."""
    kept = []
    for point in sorted(((row["ms_per_text"], row["score"]) for row in rows), key=lambda point: (point[0], -point[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def work(argv=None):
    chosen = parse(argv)
    if min(*chosen.batch_sizes, chosen.pool, chosen.repeats, chosen.threads) < 1:
        raise UserError("--batch_sizes, --pool, --repeats and --threads must be above 0")
    bundles = [open_bundle(bundle) for bundle in dict.fromkeys(chosen.bundles)]
    first = bundles[0]
    for bundle in bundles:
        own, others = bundle.manifest, first.manifest
        if own.task is None:
            raise UserError(f"{bundle.path}: names no task, whose score could be measured")
        if (own.task, own.max_seq_length) != (others.task, others.max_seq_length):
            raise UserError(
                f"{bundle.path}: has another task or --max_seq_length than {first.path}; measure them one by one"
            )
    ways = [way for bundle in bundles for way in ways_of(chosen, bundle)]
    data = Data(chosen, first)
    rows = measure(chosen, data, ways)
    setting = {key: value for key, value in vars(chosen).items() if key not in ("output_dir",)}
    output = Path(chosen.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    result = {"task": data.task.name, "setting": setting, "versions": versions(), "command": sys.argv, "rows": rows}
    (output / "rows.json").write_text(json.dumps(result, indent=1) + "\n")
    text = printable(rows)
    (output / "table.md").write_text(text + "\n")
    how = f"{chosen.backend} {chosen.precision} on {chosen.device}, {chosen.threads} threads"
    plot(rows, output / "plot.png", f"{data.task.name}, early exits, {how}")
    sys.stdout.write(f"{data.task.name}, {how}, {len(data.labels)} texts\n\n{text}\n")


def main(argv=None):
    return run_command(work, argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
