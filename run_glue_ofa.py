"""Train a once-for-all supernet from a model that run_glue.py finetuned.

    python -u ./run_glue_ofa.py --model_type bert --model_name_or_path ./tmp/SST-2/best --task_name SST-2 \\
        --max_seq_length 128 --batch_size 32 --learning_rate 2e-5 --num_train_epochs 6 --logging_steps 10 \\
        --save_steps 100 --output_dir ./tmp/SST-2-ofa --device gpu \\
        --width_mult_list 1.0 0.8333333333333334 0.6666666666666666 0.5

On several GPUs:    python -m paddle.distributed.launch --gpus "0,1" run_glue_ofa.py ...
On a CPU's cores:   python -m paddle.distributed.launch --nproc_per_node 2 run_glue_ofa.py ... --device cpu

Writes best/ (best mean over sub-models), last/, the newest checkpoint, importance.png and results.json to --output_dir.

Early exits:        python -u ./run_glue_ofa.py --exits deebert --model_name_or_path ./tmp/SST-2-ofa --output_dir ...
    on a supernet for all its sub-models, on a finetuned model or on an exported sub-model; --exits deebert --help
    explains. Then python -m ofa_bert exits chooses the threshold.
"""

import sys

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, run, show
from ofa_bert.training.exits.config import ExitTrainConfig
from ofa_bert.training.supernet.config import OfaConfig

EXITS_DOC = """Train early exits on a model that run_glue.py finetuned, on a supernet, or on an exported sub-model.

    python -u ./run_glue_ofa.py --exits deebert --model_name_or_path ./tmp/SST-2-ofa --task_name SST-2 \\
        --output_dir ./tmp/SST-2-exits --device gpu

What --model_name_or_path holds decides what the exits serve: a supernet's serve all its sub-models, each with the
heads of the layers it keeps. deebert leaves the model as it is; geep, joint and alternate train it further (on a
supernet in all its sub-models). The last exit is always the model's own classifier. best/ and last/ hold the model
with exits.safetensors beside it. Then: python -m ofa_bert exits
"""


def work(argv=None):
    given = sys.argv[1:] if argv is None else argv
    if any(word.startswith(("--exit", "--geep")) for word in given):
        return work_on_exits(given)
    config = parse(OfaConfig, argv, *__doc__.split("\n\n", 1))
    datasets = begin(config)
    from ofa_bert.reporting import table
    from ofa_bert.training import distributed
    from ofa_bert.training.supernet.train import printable, train_supernet

    results = train_supernet(config, datasets)
    if distributed.is_main():
        last_step = results["history"][-1]["step"]
        show(f"last/, after step {last_step}, on dev:\n")
        show(table(printable(results["last"], results["teacher"])))
        if results["best_step"] != last_step:
            show(
                f"\nbest/, after step {results['best_step']}; it was chosen on dev, which flatters its scores there:\n"
            )
            show(table(printable(results["best"], results["teacher"])))
        show(f"\nwritten to {config.output_dir}; export one with export_model.py")


def work_on_exits(argv):
    config = parse(ExitTrainConfig, argv, *EXITS_DOC.split("\n\n", 1))
    datasets = begin(config)
    from ofa_bert.reporting import table
    from ofa_bert.training import distributed
    from ofa_bert.training.exits.train import printable, train_exits

    results = train_exits(config, datasets)
    if distributed.is_main():
        best = results["best"]
        show(f"best/, after step {best['step']}, chosen on the held-out part. Scores on dev by layers run:\n")
        show(table(printable(best["scores"]["exits"])))
        show(f"\nwritten to {config.output_dir}; choose a threshold with python -m ofa_bert exits")


def main(argv=None):
    return run(work, argv)


if __name__ == "__main__":
    sys.exit(main())
