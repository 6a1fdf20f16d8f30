"""The report of a run: both tables as text, and as JSON with settings, versions and hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ofa_bert.files.atomic import write_json_atomic, write_text_atomic
from ofa_bert.system.machine import machine
from ofa_bert.system.provenance import versions
from seed_page import plan, running, tables

RESULTS, TABLES = "results.json", "tables.md"


class Report:
    """tables.md and results.json, written anew after every step."""

    def __init__(self, choice: plan.Choice, settings: plan.Settings, output: Path) -> None:
        self.choice, self.settings, self.output = choice, settings, output
        self.reasons: dict[Path, str] = {}

    def write(self) -> str:
        """The text of both tables."""
        scores = tables.score_rows(self.choice, self.output)
        latencies = tables.latency_rows(self.choice, self.output, self.reasons)
        here = machine("gpu" if self.choice.gpu_latency else "cpu")
        text = "\n\n".join(
            [
                "GLUE dev; finetuned: the best step, width 2/3: after the last step.",
                tables.score_table(scores),
                *tables.sizes(self.choice, self.output),
                f"Median milliseconds of a batch, {self.settings.max_seq_length} tokens, ONNX Runtime.",
                tables.latency_table(latencies),
                *tables.notes(latencies),
            ]
        )
        about = {
            "settings": dataclasses.asdict(self.settings),
            "chosen": dataclasses.asdict(self.choice),
            **here,
            "versions": versions(),
            "commands": [running.command(step) for step in plan.steps(self.choice, self.settings, self.output)],
            "scores": tables.as_json(scores),
            "latency": tables.as_json(latencies),
        }
        write_json_atomic(self.output / RESULTS, about)
        write_text_atomic(self.output / TABLES, text + "\n")
        return text
