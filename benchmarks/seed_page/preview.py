"""What --dry_run says: every command, and what the trainings that are left compute."""

from __future__ import annotations

from pathlib import Path

from seed_page import estimate, plan, results, running


def preview(choice: plan.Choice, settings: plan.Settings, output: Path, teraflops: float) -> str:
    """Every command, those that are done marked, and what the trainings that are left compute."""
    rate = measured_rate(choice, settings, output)
    lines, left, unknown = [], 0.0, False
    for step in plan.steps(choice, settings, output):
        state = "done" if step.whole() else "not needed" if step.unless() else ""
        work = _work(step, choice, settings)
        said = ""
        if work is not None and not state:
            hours = work.hours(rate or teraflops)
            said = f"{work.steps} steps" + ("" if hours is None else f", at most {hours:.2f} hours")
            left, unknown = left + (hours or 0), unknown or hours is None
        lines.append(f"# {step.title}" + "".join(f" ({part})" for part in (state, said) if part))
        lines.append(running.command(step))
    how = f"{rate:.2f} TFLOP/s, as the trainings that are finished here" if rate else f"{teraflops:g} TFLOP/s (assumed)"
    without = "; without the models whose shape is not known before they are downloaded" if unknown else ""
    return "\n".join([*lines, f"# training that is left: at most {left:.1f} hours at {how}{without}"])


def _work(step: plan.Step, choice: plan.Choice, settings: plan.Settings) -> estimate.Work | None:
    if step.run is None:
        return None
    return estimate.training(step.run, choice, settings)[step.words[0] == "supernet"]


def measured_rate(choice: plan.Choice, settings: plan.Settings, output: Path) -> float | None:
    """TFLOP/s of the finished trainings, by the same upper bound as the estimate's; None before there is one."""
    operations = seconds = 0.0
    for run in plan.runs(choice):
        at = run.directory(output)
        found = results.finetuned(at / "finetune", run.task), results.supernet(at / "supernet", run.task)
        for work, trained in zip(estimate.training(run, choice, settings), found):
            if trained is not None and work.operations is not None:
                operations, seconds = operations + work.operations, seconds + trained.seconds
    return operations / seconds / 1e12 if seconds else None
