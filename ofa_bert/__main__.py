"""python -m ofa_bert <command>: what is not one of the three scripts.

commands:
  demo            finetune, train a supernet and export its sub-models on an embedded encoder and a generated task
  predict         labels and probabilities for the texts of a TSV, CSV or JSONL file, from a bundle; needs no Paddle
  bench           latency, size, memory and score of bundles in every back end and precision, with tables and plots
  exits           choose the threshold of early exits on held-out training data, measure it, report it on dev
  latency         measure what layers cost on this device, so that the latency of any sub-model can be predicted
  search          find uneven sub-models of a supernet under a latency, size or FLOP budget (NSGA-II, or Bort's FPTAS)
  pretrain        train a small shape from a large masked-LM on a text file, by distillation
  distil          train a small student from a finetuned teacher
  prune           keep the most important heads and FFN neurons of every layer
  recipe          distil, prune, distil again, quantize, several instances: what each stage costs and brings
  tune            finetune with many hyper-parameters, stopping the bad runs early; for shapes that are hard to finetune
  export_serving  bundles as a Triton model repository and as Paddle Serving's and FastDeploy's input
  trtexec         the command line that compiles a bundle's ONNX model with NVIDIA's TensorRT
"""

import os
import sys

if not __package__:
    # Run by its path, as Paddle's launcher does, which knows no -m: Python then looks for every module in this folder
    # first, and would give PaddleNLP ours for another of that name.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from ofa_bert.cli import run, show  # noqa: E402
from ofa_bert.commandline import parse  # noqa: E402
from ofa_bert.config import DemoConfig  # noqa: E402
from ofa_bert.config_exits import ExitChoiceConfig  # noqa: E402
from ofa_bert.errors import UserError  # noqa: E402
from ofa_bert.recipe_commands import run_distil, run_prune, run_recipe  # noqa: E402
from ofa_bert.search_commands import run_latency, run_pretrain, run_search, run_tune  # noqa: E402


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


def run_bench(argv):
    about = "Measure bundles in every back end and precision, in turn in one run: latency, size, memory and score."
    example = (
        "python -m ofa_bert bench --bundles static/w1_d1 static/w0.6667_d1 --output_dir bench --threads 1 2\n"
        "    --task_name SST-2 --data_dir glue/SST-2        scores every model on dev; else the manifests' scores count"
    )
    from ofa_bert.config_bench import BenchConfig

    config = parse(BenchConfig, argv, about, example, prog="python -m ofa_bert bench")
    from ofa_bert.bench import bench

    show(bench(config, argv))


def run_export_serving(argv):
    about = "Write bundles as the input of Triton Inference Server, Paddle Serving and FastDeploy."
    example = "python -m ofa_bert export_serving --bundles static/w1_d1 static/w0.6667_d1 --output_dir serving"
    from ofa_bert.config_bench import ServingConfig

    config = parse(ServingConfig, argv, about, example, prog="python -m ofa_bert export_serving")
    from ofa_bert.serving import export_serving

    show(export_serving(config))


EXITS_DOC = """Choose the threshold of early exits, measure what it saves, report it on dev.

    python -m ofa_bert exits --model_name_or_path ./tmp/SST-2-exits --task_name SST-2 --target_drop 0.006 \\
        --output_dir ./tmp/SST-2-policy

Sweeps thresholds on the part of train that training held out, by score, layers and measured time, and takes the one
that the targets ask for; dev is only reported on. Also learns which tokens need how many layers, for --mode predicted.
"""


def run_exits(argv):
    config = parse(ExitChoiceConfig, argv, *EXITS_DOC.split("\n\n", 1), prog="python -m ofa_bert exits")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.environment import select_device
    from ofa_bert.readers import load_datasets

    datasets = load_datasets(**config.data_arguments())
    select_device(config.device)
    from ofa_bert.exit_choice import choose_exits, printable
    from ofa_bert.report import table

    results = choose_exits(config, datasets)
    policy = results["chosen"]["policy"]
    show(f"{results['name']}: {policy['criterion']} threshold {policy['threshold']:.4g}, mode {config.mode}\n")
    show(table(printable(results)))
    histogram = results["dev"]["exits"]["histogram"]
    show("\nanswered after layer: " + "  ".join(f"{layers}: {count}" for layers, count in histogram.items() if count))
    show(f"written to {config.output_dir}")


COMMANDS = {
    "bench": run_bench,
    "demo": run_demo,
    "distil": run_distil,
    "exits": run_exits,
    "export_serving": run_export_serving,
    "latency": run_latency,
    "predict": run_predict,
    "pretrain": run_pretrain,
    "prune": run_prune,
    "recipe": run_recipe,
    "search": run_search,
    "trtexec": run_trtexec,
    "tune": run_tune,
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
