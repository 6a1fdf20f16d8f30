"""A supernet's best sub-model under a budget."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import show
from ofa_bert.files.fields import Fields

if TYPE_CHECKING:
    from ofa_bert.search.job import SearchJob
    from ofa_bert.search.speedups.report import FamilyResults


def run(argv: Sequence[str] | None) -> None:
    about = "Search a supernet for the best sub-model under a budget. Nothing is trained; dev is used once, at the end."
    example = (
        "python -m ofa_bert search --model ./tmp/SST-2-ofa --max_latency_ms 8 --latency_table cpu.json --device cpu\n"
        "    --output_dir ./tmp/SST-2-search\n"
        "With early exits, and the fastest precision that keeps the score:\n"
        "python -m ofa_bert search --model ./tmp/SST-2-exits --exits --max_latency_ms 2 --device cpu\n"
        "    --latency_table cpu.json cpu-int8.json --output_dir ./tmp/SST-2-search\n"
        "A family, one exported model for each speed, each in the precision that suits it:\n"
        "python -m ofa_bert search --model ./tmp/SST-2-ofa --speedups 2 3 5 10 --device cpu\n"
        "    --latency_table cpu.json cpu-int8.json --output_dir ./tmp/SST-2-family\n\n"
        "The data are those the supernet was trained on, unless data flags say otherwise. The same command resumes."
    )
    from ofa_bert.search.job import SearchJob

    job = parse(SearchJob, argv, about, example, command="search")
    from ofa_bert.search.early import check_search

    if job.algorithm == "nsga2":  # fptas may go below what was trained
        check_search(job.source, job.modes, job.space, job.wanted.limits(), job.precision, job.wanted.family.speedups)
    from ofa_bert.models.device import select_device

    select_device(job.device)
    from ofa_bert.reporting import explained

    if job.algorithm == "fptas":
        _show_fptas(job, argv)
        return
    from ofa_bert.search.report import COLUMNS, described, printable
    from ofa_bert.search.run import search_sub_models
    from ofa_bert.search.run_modes import RunMode
    from ofa_bert.search.winner import printed
    from ofa_bert.submodels.values import SubModelConfig

    results = search_sub_models(job)
    if results is None:
        return
    leave_page(job.output_dir, "search", argv)
    show(explained(printable(results["comparison"], results["cost"]), COLUMNS))
    if "family" in results:
        _show_family(results, job.output_dir)
        return
    winner = Fields(results["winner"], "winner")
    show(f"\nwinner: {described(winner.made('sub_model', SubModelConfig.from_json))}")
    if "way" in winner:
        show(f"to be run in {winner.made('way', RunMode.from_json).described()}")
    show(printed(results))
    show(f"written to {job.output_dir}: report.html, front.json, front.png, winner.json, sub_model/")
    show(f"export it: python export_model.py {shlex.join(results['export'])}")


def _show_family(results: FamilyResults, output: str) -> None:
    from ofa_bert.reporting import explained
    from ofa_bert.search.speedups.report import COLUMNS, family_remarks, family_table

    show("\n" + explained(family_table(results), COLUMNS) + "\n")
    for line in family_remarks(results):
        show(line)
    show(f"written to {output}: front.json, front.png, family.png; sub_model/ and the bundle static/ of each in")
    show(" ".join(row["directory"] for row in results["family"]))


def _show_fptas(job: SearchJob, argv: Sequence[str] | None) -> None:
    from ofa_bert.reporting import explained
    from ofa_bert.search.fptas.run import COLUMNS, printable, search_fptas

    results = search_fptas(job)
    leave_page(job.output_dir, "search", argv)
    show(explained(printable(results), COLUMNS) + "\n")
    for epsilon, missed in results["regret"].items():
        show(f"an interval of {epsilon} would have missed {missed:.1%} of the highest W")
    for value in results["rank_correlation_of_seeds"]:
        show(f"rank correlation of W with the first seed's: {value:.3f}")
    show(f"winner: {results['winner']['name']}; every evaluation is in {job.output_dir}/results.json")
