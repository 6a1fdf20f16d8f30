"""A device's latency table."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str] | None) -> None:
    about = "Measure a latency table of this device: exported models of many sizes, from which any other is predicted."
    example = (
        "python -m ofa_bert latency --model ./tmp/SST-2-ofa --backend onnx_runtime --batch 1 --length 128\n"
        "    --output cpu.json"
    )
    from ofa_bert.latency.job import LatencyJob

    job = parse(LatencyJob, argv, about, example, command="latency")
    from ofa_bert.models.device import select_device

    select_device(job.setting.device)
    from ofa_bert.latency.measure import COLUMNS, measure_table, printable
    from ofa_bert.reporting import explained

    found = measure_table(job)
    show(explained(printable(found), COLUMNS))
    show(
        f"\nmedian error {found.error['median_error']:.1%}, rank correlation {found.error['rank_correlation']:.3f} on"
        f" {found.error['models']} sub-models that the table was not fitted to; written to {job.output}"
    )
    if found.exits:
        cost = found.exits
        show(
            f"early exits: {cost.call_ms:.3f} ms a part, {cost.head_ms:.3f} ms a head that is asked; median error"
            f" {cost.median_error:.1%} until an exit"
        )
