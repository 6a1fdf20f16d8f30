"""Commands that make one small fast model: distil, prune, recipe."""

from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show

DISTIL_EXAMPLE = """python -m ofa_bert distil --teacher ./tmp/SST-2 --student ./small-encoder --task_name SST-2 \\
    --output_dir ./tmp/SST-2-student
python -m ofa_bert distil --teacher ./tmp/SST-2 --student 6,12,768,1536 --task_name SST-2 \\
    --output_dir ./tmp/SST-2-cut

Several processes: python -m paddle.distributed.launch --nproc_per_node 2 ofa_bert/__main__.py distil ... --device cpu

best/ is the best on dev, as run_glue.py's. With --state_weight 0 and --attention_weight 0 the teacher runs over train
only once. Then: export_model.py, python -m ofa_bert prune, or all of it at once: python -m ofa_bert recipe
"""


def run_distil(argv):
    about = "Train a small student on what a finetuned teacher answers (and, if asked, on its states and attention)."
    from ofa_bert.training.students.config import DistilConfig

    config = parse(DistilConfig, argv, about, DISTIL_EXAMPLE, prog="python -m ofa_bert distil")
    datasets = begin(config)
    from ofa_bert.tasks.metrics import as_text
    from ofa_bert.training import distributed
    from ofa_bert.training.students.train import distil

    results = distil(config, datasets)
    if distributed.is_main():
        best, sizes = results["best"], (results["teacher_parameters"], results["parameters"])
        show(f"teacher, {sizes[0]} parameters, on dev: {as_text(results['teacher'])}")
        show(f"student, {sizes[1]} parameters, on dev: {as_text(best['scores'])} (best, step {best['step']})")
        show(f"written to {config.output_dir}")


def run_prune(argv):
    about = (
        "Keep the most important attention heads and FFN neurons of every layer, measured on held-out training data."
    )
    example = (
        "python -m ofa_bert prune --model_name_or_path ./tmp/SST-2-student --target_num_heads 8 \\\n"
        "    --target_ffn_dim 768 --task_name SST-2 --output_dir ./tmp/SST-2-pruned\n\n"
        "Nothing is trained: distil again with --student ./tmp/SST-2-pruned afterwards."
    )
    from ofa_bert.training.students.config import PruneConfig

    config = parse(PruneConfig, argv, about, example, prog="python -m ofa_bert prune")
    datasets = begin(config)
    from ofa_bert.tasks.metrics import as_text
    from ofa_bert.training.students.prune import prune

    results = prune(config, datasets)
    show(f"before, {results['parameters_before']} parameters, on dev: {as_text(results['before'])}")
    show(f"pruned, {results['parameters']} parameters, on dev: {as_text(results['after'])}")
    show(
        f"written to {config.output_dir}; distil again into it: python -m ofa_bert distil --student {config.output_dir}"
    )


RECIPE_EXAMPLE = """python -m ofa_bert recipe --teacher ./tmp/SST-2 --student ./small-encoder --task_name SST-2 \\
    --device cpu --output_dir ./tmp/SST-2-fast --distil_epochs 3 --again_epochs 3

Stages: distil, prune, distil again, export, quantize, several instances. Each prints the command that does it alone,
and is kept when the same command is given again. Then every stage is measured in the engine that it is for, all of
them in turn in one run, from PaddleNLP's own model in Paddle's eager mode to the last one.
"""


def run_recipe(argv):
    about = "The FastFormers chain: from a finetuned teacher to a small fast model, and what each stage is worth."
    from ofa_bert.recipes.config import RecipeConfig

    config = parse(RecipeConfig, argv, about, RECIPE_EXAMPLE, prog="python -m ofa_bert recipe")
    datasets = begin(config)
    from ofa_bert.recipes.fastformers import recipe

    show(recipe(config, datasets, argv))
