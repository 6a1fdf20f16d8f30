"""Export a sub-model of a supernet: dynamic, to finetune further, and static, to deploy.

    python -u ./export_model.py --model_type bert --model_name_or_path ./tmp/SST-2-ofa --max_seq_length 128 \\
        --sub_model_output_dir ./tmp/SST-2-0.67 --static_sub_model ./tmp/SST-2-0.67-static \\
        --width_mult 0.6666666666666666 --onnx --device gpu

    ... --precision fp32 fp16 int8 int8-static --task_name SST-2 --data_dir ./glue/SST-2
    ... --precision fp16 --engine rtx --engine_compute_capability 7.5 8.6 8.9

    ... --hugging_face ./tmp/SST-2-0.67-hf      also what plain transformers loads
    ... --polish 3      first trains the sub-model alone on what the supernet's teacher answers

Before it succeeds, it loads what it wrote into Paddle Inference and ONNX Runtime and compares logits on several batch
sizes and lengths, of a model with exits those of every exit; with data also the score on dev, which no precision may
lower by more than --max_drop points.
"""

from collections.abc import Sequence

from ofa_bert.cli.parser import paragraphs, parse
from ofa_bert.cli.process import run_command, show
from ofa_bert.export.early import check_export
from ofa_bert.export.job import ExportJob


def run(argv: Sequence[str] | None) -> None:
    job = parse(ExportJob, argv, *paragraphs(__doc__), command="export")
    check_export(job)
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.models.device import select_device

    select_device("cpu" if job.n_gpu == 0 else job.device)
    from ofa_bert.export.sub_model import deploy
    from ofa_bert.reporting import millions
    from ofa_bert.tasks.metrics import as_text

    summary = deploy(job)
    show(f"sub-model: {millions(summary['parameters'])} parameters, {summary['flops'] / 1e9:.2f} GFLOPs at 128 tokens")
    if summary["polish"]:
        about = summary["polish"]
        show(f"polished for {about['steps']} steps; dev before: {as_text(about['before'])}")
    if summary["scores"]:
        show(f"dev: {as_text(summary['scores'])}")
    show(f"dynamic model: {summary['dynamic']}")
    for model in summary["models"]:
        show(
            f"{model.name}: {model.bytes / 1e6:.1f} MB, max |d logit| {model.check.max_abs_difference:.1e}"
            + model.check.agreement
            + _score(model.check)
        )
    if summary.get("exits"):
        entry = summary["exits"]
        worst = max(max(model.check.max_abs_difference) for model in entry.models if model.precision == "fp32")
        show(f"exits after {' '.join(map(str, entry.layers))} layers: max |d logit| {worst:.1e} in fp32")
    for engine in summary.get("engines", ()):
        show(f"{engine.file}: {engine.state}")
    if "static" in summary:
        show(f"static model: {summary['static']}")
    if "hugging_face" in summary:
        show(f"for transformers: {summary['hugging_face']}")


def _score(check):
    if check.score_after is None:
        return ""
    return f", dev {check.score_after:.4f} ({100 * (check.score_after - check.score_before):+.1f} points)"


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(run, argv, resumable=False)
