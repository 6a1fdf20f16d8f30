"""The README's table: rows are sub-models, columns are tasks, from the results.json files of run_glue_ofa.py.

    python benchmarks/glue_table.py out/ofa-CoLA out/ofa-MRPC out/ofa-STS-B

Scores are those of last/, so that nothing was chosen on the split that is reported; the average is over the tasks'
main metrics, in points.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ofa_bert.reporting import millions, table


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="output directories of run_glue_ofa.py")
    given = parser.parse_args(argv).runs
    runs = [json.loads((Path(run) / "results.json").read_text()) for run in given]
    names = [row["name"] for row in runs[0]["last"]]
    other = [name for name, run in zip(given, runs) if [row["name"] for row in run["last"]] != names]
    if other:
        parser.error(f"{other[0]}: trained other sub-models than {given[0]}; give runs of the same widths and depths")
    teachers = [run["teacher"]["score"] for run in runs]
    lines = [row_of("teacher", runs[0]["last"][0], [run["teacher"] for run in runs], teachers)]
    for place, name in enumerate(names):
        rows = [run["last"][place] for run in runs]
        lines.append(row_of(name, rows[0], [row["scores"] for row in rows], teachers))
    titles = [heading(run) for run in runs]
    sys.stdout.write(
        table([dict(zip(["sub-model", "parameters", "GFLOPs", *titles, "average"], line)) for line in lines])
    )
    sys.stdout.write("\n\n")
    for run in runs:
        kept = run["history"][-1]["step"], run["seconds"] / 60, run["processes"]
        sys.stdout.write("{}: {} steps, {:.0f} minutes, {} processes\n".format(run["task"], *kept))
    return 0


def row_of(name, sizes, scores, teachers):
    difference = 100 * sum(s["score"] - t for s, t in zip(scores, teachers)) / len(teachers)
    shown = [" / ".join(f"{100 * v:.1f}" for k, v in found.items() if k != "score") for found in scores]
    average = 100 * sum(found["score"] for found in scores) / len(scores)
    change = "" if name == "teacher" else f" ({difference:+.1f})"
    return [name, millions(sizes["parameters"]), f"{sizes['flops'] / 1e9:.2f}", *shown, f"{average:.1f}{change}"]


def heading(run):
    metrics = [name for name in run["teacher"] if name != "score"]
    return f"{run['task']} {' / '.join(metrics)}"


if __name__ == "__main__":
    sys.exit(main())
