"""python -m ofa_bert <command>: what is not one of the three scripts.

commands:
  demo     finetune, train a supernet and export its sub-models on an embedded encoder and a generated task
  latency  measure what layers cost on this device, so that the latency of any sub-model can be predicted
  predict  labels and probabilities for the texts of a TSV, CSV or JSONL file, from a bundle; needs no Paddle
  trtexec  the command line that compiles a bundle's ONNX model with NVIDIA's TensorRT
"""

import sys

from ofa_bert.cli import run, show
from ofa_bert.commandline import parse
from ofa_bert.config import DemoConfig
from ofa_bert.errors import UserError


def run_demo(argv):
    about = "Run the whole main job on an embedded encoder and a generated task."
    config = parse(DemoConfig, argv, about, prog="python -m ofa_bert demo")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.environment import select_device

    select_device(config.device)
    from ofa_bert.demo import demo, printed

    show(printed(demo(config)))
    show(f"\nBundles to deploy: {config.output_dir}/static")


def run_predict(argv):
    about = "Predict the texts of a file with a bundle: the same columns come out, and the labels that were predicted."
    example = (
        "python -m ofa_bert predict --bundle ./tmp/SST-2-small-static --input texts.tsv --output predicted.tsv\n"
        "    --precision int8 --workers 4"
    )
    from ofa_bert.config_runtime import PredictConfig

    config = parse(PredictConfig, argv, about, example, prog="python -m ofa_bert predict")
    from ofa_bert.predict import predict_file

    summary = predict_file(config)
    counts = ", ".join(f"{label}: {count}" for label, count in summary["labels"].items())
    show(f"{summary['rows']} rows written to {config.output}" + (f" ({counts})" if counts else ""))


def run_trtexec(argv):
    about = "Print the trtexec command line for a bundle, with profiles for batch and length; run it where TensorRT is."
    from ofa_bert.config_runtime import TrtexecConfig

    config = parse(TrtexecConfig, argv, about, prog="python -m ofa_bert trtexec")
    from ofa_bert.predict import trtexec_for

    show(trtexec_for(config))


def run_latency(argv):
    about = "Measure a latency table of this device: exported models of many sizes, from which any other is predicted."
    example = (
        "python -m ofa_bert latency --model ./tmp/SST-2-ofa --backend onnx_runtime --batch 1 --length 128\n"
        "    --output cpu.json"
    )
    from ofa_bert.config_search import LatencyConfig

    config = parse(LatencyConfig, argv, about, example, prog="python -m ofa_bert latency")
    from ofa_bert.environment import select_device

    select_device(config.device)
    from ofa_bert.latency_job import measure_table, printable
    from ofa_bert.report import table

    found = measure_table(config)
    show(table(printable(found)))
    show(
        f"\nmedian error {found.error['median_error']:.1%}, rank correlation {found.error['rank_correlation']:.3f} on"
        f" {found.error['models']} sub-models that the table was not fitted to; written to {config.output}"
    )


COMMANDS = {
    "demo": run_demo,
    "latency": run_latency,
    "predict": run_predict,
    "trtexec": run_trtexec,
}


def work(argv):
    if argv and argv[0] in ("-h", "--help"):
        show(__doc__.strip() + "\n\npython -m ofa_bert <command> --help explains one.")
    elif not argv or argv[0] not in COMMANDS:
        given = f"{argv[0]}: no such command; " if argv else ""
        raise UserError(f"{given}commands: {', '.join(COMMANDS)}. python -m ofa_bert --help explains them.")
    else:
        COMMANDS[argv[0]](argv[1:])


def main(argv=None):
    return run(work, sys.argv[1:] if argv is None else argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
