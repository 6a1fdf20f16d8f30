"""Train a once-for-all supernet from a model that run_glue.py finetuned.

    python -u ./run_glue_ofa.py --model_type bert --model_name_or_path ./tmp/SST-2/best --task_name SST-2 \\
        --max_seq_length 128 --batch_size 32 --learning_rate 2e-5 --num_train_epochs 6 --logging_steps 10 \\
        --save_steps 100 --output_dir ./tmp/SST-2-ofa --device gpu \\
        --width_mult_list 1.0 0.8333333333333334 0.6666666666666666 0.5

On several GPUs:    python -m paddle.distributed.launch --gpus "0,1" run_glue_ofa.py ...
On a CPU's cores:   python -m paddle.distributed.launch --nproc_per_node 2 run_glue_ofa.py ... --device cpu

Writes best/ (best mean over sub-models), last/, the newest checkpoint, importance.png and results.json to --output_dir.
"""

import sys

from ofa_bert.cli import run, show
from ofa_bert.commandline import parse
from ofa_bert.config import OfaConfig


def work(argv=None):
    config = parse(OfaConfig, argv, *__doc__.split("\n\n", 1))
    # Imported after parsing: --help and a mistyped flag need not wait for Paddle.
    from ofa_bert.environment import select_device
    from ofa_bert.readers import load_datasets

    datasets = load_datasets(**config.data_arguments())
    select_device(config.device)
    from ofa_bert import parallel
    from ofa_bert.elastic import printable, train_supernet
    from ofa_bert.report import table

    parallel.start(config.device)
    results = train_supernet(config, datasets)
    if parallel.is_main():
        last_step = results["history"][-1]["step"]
        show(f"last/, after step {last_step}, on dev:\n")
        show(table(printable(results["last"], results["teacher"])))
        if results["best_step"] != last_step:
            show(
                f"\nbest/, after step {results['best_step']}; it was chosen on dev, which flatters its scores there:\n"
            )
            show(table(printable(results["best"], results["teacher"])))
        show(f"\nwritten to {config.output_dir}; export one with export_model.py")


def main(argv=None):
    return run(work, argv)


if __name__ == "__main__":
    sys.exit(main())
