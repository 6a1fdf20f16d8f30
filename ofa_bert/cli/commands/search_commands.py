"""Commands that search for a shape or train one: latency, search, pretrain, tune."""

import shlex

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show


def run_latency(argv):
    about = "Measure a latency table of this device: exported models of many sizes, from which any other is predicted."
    example = (
        "python -m ofa_bert latency --model ./tmp/SST-2-ofa --backend onnx_runtime --batch 1 --length 128\n"
        "    --output cpu.json"
    )
    from ofa_bert.latency.config import LatencyConfig

    config = parse(LatencyConfig, argv, about, example, prog="python -m ofa_bert latency")
    from ofa_bert.training.device import select_device

    select_device(config.device)
    from ofa_bert.latency.measure import measure_table, printable
    from ofa_bert.reporting import table

    found = measure_table(config)
    show(table(printable(found)))
    show(
        f"\nmedian error {found.error['median_error']:.1%}, rank correlation {found.error['rank_correlation']:.3f} on"
        f" {found.error['models']} sub-models that the table was not fitted to; written to {config.output}"
    )
    if found.exits:
        cost = found.exits
        show(
            f"early exits: {cost.call_ms:.3f} ms a part, {cost.head_ms:.3f} ms a head that is asked; median error"
            f" {cost.median_error:.1%} until an exit"
        )


def run_pretrain(argv):
    about = "Pre-train a shape on a text file: masked words, and a teacher's guesses for them (Bort)."
    example = (
        "python -m ofa_bert pretrain --teacher bert-base-uncased --shape 4,8,768,1024 --corpus texts.txt\n"
        "    --output_dir ./tmp/small --max_steps 100000 --device gpu\n"
        "python run_glue.py --model_name_or_path ./tmp/small --task_name SST-2 ...\n\n"
        'On several GPUs: python -m paddle.distributed.launch --gpus "0,1" ofa_bert/__main__.py pretrain ...'
    )
    from ofa_bert.training.pretraining.config import PretrainConfig

    config = parse(PretrainConfig, argv, about, example, prog="python -m ofa_bert pretrain")
    from ofa_bert.training.device import select_device

    select_device(config.device)
    from ofa_bert.training import distributed
    from ofa_bert.training.pretraining.pretrain import pretrain

    distributed.start(config.device)
    results = pretrain(config)
    if distributed.is_main():
        scores, teacher = results["last"]["scores"], results["teacher"]
        show(f"{results['parameters']} parameters")
        show(f"held out: accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}")
        if teacher:
            show(f"teacher: accuracy {teacher['accuracy']:.4f}, loss {teacher['loss']:.4f}")
        show(f"written to {config.output_dir}; finetune it with run_glue.py")


def run_search(argv):
    about = "Search a supernet for the best sub-model under a budget. Nothing is trained; dev is used once, at the end."
    example = (
        "python -m ofa_bert search --model ./tmp/SST-2-ofa --max_latency_ms 8 --latency_table cpu.json --device cpu\n"
        "    --output_dir ./tmp/SST-2-search\n"
        "With early exits, and the fastest precision that keeps the score:\n"
        "python -m ofa_bert search --model ./tmp/SST-2-exits --exits --max_latency_ms 2 --device cpu\n"
        "    --latency_table cpu.json cpu-int8.json --output_dir ./tmp/SST-2-search\n\n"
        "The data are those the supernet was trained on, unless data flags say otherwise. The same command resumes."
    )
    from ofa_bert.search.config import SearchConfig

    config = parse(SearchConfig, argv, about, example, prog="python -m ofa_bert search")
    from ofa_bert.training.device import select_device

    select_device(config.device)
    from ofa_bert.reporting import table

    if config.algorithm == "fptas":
        return show_fptas(config, table)
    from ofa_bert.search.report import described, printable, way_of
    from ofa_bert.search.run import search_sub_models
    from ofa_bert.search.winner import printed

    results = search_sub_models(config)
    if results is None:
        return
    show(table(printable(results)))
    show(f"\nwinner: {described(results['winner']['sub_model'])}")
    way = way_of(results["winner"])
    if way is not None:
        show(f"to be run in {way.described()}")
    show(printed(results))
    show(f"written to {config.output_dir}: front.json, front.png, winner.json, sub_model/")
    show(f"export it: python export_model.py {shlex.join(results['export'])}")


def show_fptas(config, table):
    from ofa_bert.search.fptas_run import printable, search_fptas

    results = search_fptas(config)
    show(table(printable(results)))
    for epsilon, missed in results["regret"].items():
        show(f"an interval of {epsilon} would have missed {missed:.1%} of the highest W")
    for value in results["rank_correlation_of_seeds"]:
        show(f"rank correlation of W with the first seed's: {value:.3f}")
    show(f"winner: {results['winner']['name']}; every evaluation is in {config.output_dir}/results.json")


def run_tune(argv):
    about = "Finetune with many hyper-parameters: runs that fall behind are stopped, the best is scored on dev, once."
    example = (
        "python -m ofa_bert tune --model_name_or_path ./tmp/small --task_name MRPC\n"
        "    --output_dir ./tmp/MRPC --trials 30\n\n"
        "Takes run_glue.py's flags too. The same command resumes."
    )
    from ofa_bert.training.config import TuneConfig

    config = parse(TuneConfig, argv, about, example, prog="python -m ofa_bert tune")
    datasets = begin(config)
    from ofa_bert.reporting import table
    from ofa_bert.training.tune import printable, tune

    results = tune(config, datasets)
    show(table(printable(results)))
    scores = "  ".join(f"{name} {value:.4f}" for name, value in results["dev"].items() if name != "score")
    show(f"\nbest run on dev: {scores}; it is in {config.output_dir}/best")
