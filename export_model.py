"""Export a sub-model of a supernet: dynamic, to finetune further, and static, to deploy.

    python -u ./export_model.py --model_type bert --model_name_or_path ./tmp/SST-2-ofa --max_seq_length 128 \\
        --sub_model_output_dir ./tmp/SST-2-0.67 --static_sub_model ./tmp/SST-2-0.67-static \\
        --width_mult 0.6666666666666666 --onnx --device gpu

Before it succeeds, it loads what it wrote into Paddle Inference and ONNX Runtime and compares logits on several batch
sizes and lengths.
"""

import sys

from ofa_bert.cli import run, show
from ofa_bert.commandline import parse
from ofa_bert.config import ExportConfig


def work(argv=None):
    config = parse(ExportConfig, argv, *__doc__.split("\n\n", 1))
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.environment import select_device

    select_device("cpu" if config.n_gpu == 0 else config.device)
    from ofa_bert.deploy import deploy
    from ofa_bert.report import millions

    summary = deploy(config)
    show(f"sub-model: {millions(summary['parameters'])} parameters, {summary['flops'] / 1e9:.2f} GFLOPs at 128 tokens")
    if summary["scores"]:
        show("dev: " + "  ".join(f"{name} {value:.4f}" for name, value in summary["scores"].items()))
    show(f"dynamic model: {summary['dynamic']}")
    for name, backend in summary.get("backends", {}).items():
        show(
            f"{name}: max |d logit| {backend['max_abs_difference']:.1e}, same answers {backend['argmax_agreement']:.0%}"
        )
    if "static" in summary:
        show(f"static model: {summary['static']}")


def main(argv=None):
    return run(work, argv)


if __name__ == "__main__":
    sys.exit(main())
