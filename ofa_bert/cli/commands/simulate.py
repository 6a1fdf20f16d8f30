"""A load answered by measured points: how many workers, which points, which policy."""

from collections.abc import Sequence

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show


def run(argv: Sequence[str]) -> None:
    about = "Simulate a load from measured latencies: what share is answered within a deadline, and with which score."
    example = (
        "python -m ofa_bert simulate --points bench --deadline_ms 50 --workers 1 2 4 --trace bursty --cv2 8\n"
        "    --rate 20 50 100 200 --seconds 60 --output_dir capacity        bench: the directory that bench wrote"
    )
    from ofa_bert.load.job import SimulateJob

    job = parse(SimulateJob, argv, about, example, command="simulate")
    from ofa_bert.load.capacity import simulate_load

    show(simulate_load(job, argv))
