"""One recipe on several tasks: what `torch_twin.py train` found, each sub-model beside its teacher.

    python benchmarks/twin_table.py out/twin-CoLA out/twin-MRPC out/twin-STS-B

Differences are in points of a task's main metric after the last step, so that nothing was chosen on the split that is
reported; the mean over the seeds ± their standard deviation. The average is over the tasks.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ofa_bert.reporting import table

ROWS = "rows.jsonl"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="output directories of torch_twin.py train; several of one task add up")
    tasks = {}
    for run in parser.parse_args(argv).runs:
        path = Path(run, ROWS)
        if not path.is_file():
            parser.error(f"{run}: has no {ROWS}; name output directories of torch_twin.py train")
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            tasks.setdefault(row["task"], []).append(row)
    names = {tuple(row["scores"]) for rows in tasks.values() for row in rows}
    if len(names) > 1:
        parser.error("the runs have other sub-models; give runs of the same widths and depths")
    sys.stdout.write(table(list(lines(tasks, names.pop()))) + "\n")
    return 0


def lines(tasks, names):
    titles = {task: f"{task} ({len(rows)})" for task, rows in tasks.items()}
    taught = {task: [100 * row["teacher"]["score"] for row in rows] for task, rows in tasks.items()}
    mean = statistics.mean(statistics.mean(each) for each in taught.values())
    yield {"sub-model": "teacher", **{titles[task]: shown(taught[task]) for task in tasks}, "average": f"{mean:.1f}"}
    for name in names:
        found = {task: [row["differences"][name] for row in rows] for task, rows in tasks.items()}
        average = statistics.mean(statistics.mean(each) for each in found.values())
        cells = {titles[task]: shown(found[task], "+") for task in tasks}
        yield {"sub-model": name, **cells, "average": f"{average:+.1f}"}


def shown(values, sign=""):
    spread = f" ± {statistics.stdev(values):.1f}" if len(set(values)) > 1 else ""
    return f"{statistics.mean(values):{sign}.1f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
