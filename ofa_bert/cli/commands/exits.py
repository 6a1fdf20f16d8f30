"""The threshold of early exits, chosen and measured."""

from collections.abc import Sequence

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import paragraphs, parse
from ofa_bert.cli.process import begin, show
from ofa_bert.training.exits.jobs import ExitChoiceJob
from ofa_bert.training.recorded import with_data

DOC = """Choose the threshold of early exits, measure what it saves, report it on dev.

    python -m ofa_bert exits --model_name_or_path ./tmp/SST-2-exits --task_name SST-2 --target_drop 0.006 \\
        --output_dir ./tmp/SST-2-policy

Sweeps thresholds on the part of train that training held out, by score, layers and measured time, and takes the one
that the targets ask for; a --target_drop is promised with 95 % confidence (--confidence). Dev is only reported on.
Also learns which tokens need how many layers, for --mode predicted.
"""


def run(argv: Sequence[str] | None) -> None:
    job = parse(ExitChoiceJob, argv, *paragraphs(DOC), command="exits")
    job = with_data(job, job.model_name_or_path)
    datasets = begin(job.data, job.device)
    from ofa_bert.exits.policy import Policy
    from ofa_bert.files.fields import Fields
    from ofa_bert.reporting import explained
    from ofa_bert.training.exits.choice_report import COLUMNS, printable
    from ofa_bert.training.exits.chosen_on import ChosenOn
    from ofa_bert.training.exits.threshold import choose_exits

    results = choose_exits(job, datasets)
    policy = Fields(results["chosen"], "the policy").made("policy", Policy.from_json)
    show(f"{results['name']}: {policy.criterion} threshold {policy.threshold:.4g}, mode {job.mode}\n")
    show(explained(printable(results), COLUMNS))
    show("\n" + ChosenOn.from_json(results["chosen_on"]).promise())
    histogram = Fields(results["dev"]["exits"], "dev").mapping("histogram")
    show("answered after layer: " + "  ".join(f"{layers}: {count}" for layers, count in histogram.items() if count))
    leave_page(job.output_dir, "exits", argv)
    show(f"written to {job.output_dir}")
