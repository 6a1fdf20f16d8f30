"""Commands around a bundle, the choice of an exit threshold, and the demo."""

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show
from ofa_bert.recipes.config import DemoConfig
from ofa_bert.training.exits.config import ExitChoiceConfig


def run_demo(argv):
    about = "Run the whole main job on an embedded encoder and a generated task."
    config = parse(DemoConfig, argv, about, prog="python -m ofa_bert demo")
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.training.device import select_device

    select_device(config.device)
    from ofa_bert.recipes.demo import demo, printed

    show(printed(demo(config)))
    show(f"\nBundles to deploy: {config.output_dir}/static")


def run_predict(argv):
    about = "Predict the texts of a file with a bundle: the same columns come out, and the labels that were predicted."
    example = (
        "python -m ofa_bert predict --bundle ./tmp/SST-2-small-static --input texts.tsv --output predicted.tsv\n"
        "    --precision int8 --workers 4"
    )
    from ofa_bert.runtime.config import PredictConfig

    config = parse(PredictConfig, argv, about, example, prog="python -m ofa_bert predict")
    from ofa_bert.runtime.predict_file import predict_file

    summary = predict_file(config)
    counts = ", ".join(f"{label}: {count}" for label, count in summary["labels"].items())
    show(f"{summary['rows']} rows written to {config.output}" + (f" ({counts})" if counts else ""))


def run_trtexec(argv):
    about = "Print the trtexec command line for a bundle, with profiles for batch and length; run it where TensorRT is."
    from ofa_bert.runtime.config import TrtexecConfig

    config = parse(TrtexecConfig, argv, about, prog="python -m ofa_bert trtexec")
    from ofa_bert.runtime.predict_file import trtexec_for

    show(trtexec_for(config))


def run_bench(argv):
    about = "Measure bundles in every back end and precision, in turn in one run: latency, size, memory and score."
    example = (
        "python -m ofa_bert bench --bundles static/w1_d1 static/w0.6667_d1 --output_dir bench --threads 1 2\n"
        "    --task_name SST-2 --data_dir glue/SST-2        scores every model on dev; else the manifests' scores count"
    )
    from ofa_bert.bench.config import BenchConfig

    config = parse(BenchConfig, argv, about, example, prog="python -m ofa_bert bench")
    from ofa_bert.bench.benchmark import bench

    show(bench(config, argv))


def run_export_serving(argv):
    about = "Write bundles as the input of Triton Inference Server, Paddle Serving and FastDeploy."
    example = "python -m ofa_bert export_serving --bundles static/w1_d1 static/w0.6667_d1 --output_dir serving"
    from ofa_bert.serving.config import ServingConfig

    config = parse(ServingConfig, argv, about, example, prog="python -m ofa_bert export_serving")
    from ofa_bert.serving.repository import export_serving

    show(export_serving(config))


EXITS_DOC = """Choose the threshold of early exits, measure what it saves, report it on dev.

    python -m ofa_bert exits --model_name_or_path ./tmp/SST-2-exits --task_name SST-2 --target_drop 0.006 \\
        --output_dir ./tmp/SST-2-policy

Sweeps thresholds on the part of train that training held out, by score, layers and measured time, and takes the one
that the targets ask for; dev is only reported on. Also learns which tokens need how many layers, for --mode predicted.
"""


def run_exits(argv):
    config = parse(ExitChoiceConfig, argv, *EXITS_DOC.split("\n\n", 1), prog="python -m ofa_bert exits")
    datasets = begin(config)
    from ofa_bert.reporting import table
    from ofa_bert.training.exits.threshold import choose_exits, printable

    results = choose_exits(config, datasets)
    policy = results["chosen"]["policy"]
    show(f"{results['name']}: {policy['criterion']} threshold {policy['threshold']:.4g}, mode {config.mode}\n")
    show(table(printable(results)))
    histogram = results["dev"]["exits"]["histogram"]
    show("\nanswered after layer: " + "  ".join(f"{layers}: {count}" for layers, count in histogram.items() if count))
    show(f"written to {config.output_dir}")
