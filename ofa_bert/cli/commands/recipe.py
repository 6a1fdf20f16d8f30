"""The FastFormers chain as one command."""

import dataclasses
from collections.abc import Sequence

from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import parse
from ofa_bert.cli.process import begin, show
from ofa_bert.training import early
from ofa_bert.training.recorded import with_length

EXAMPLE = """python -m ofa_bert recipe --teacher ./tmp/SST-2 --student ./small-encoder --task_name SST-2 \\
    --device cpu --output_dir ./tmp/SST-2-fast --distil_epochs 3 --again_epochs 3

Stages: distil, prune, distil again, export, quantize, several instances. Each prints the command that does it alone,
and is kept when the same command is given again. Then every stage is measured in the engine that it is for, all of
them in turn in one run, from PaddleNLP's own model in Paddle's eager mode to the last one.
"""


def run(argv: Sequence[str]) -> None:
    about = "The FastFormers chain: from a finetuned teacher to a small fast model, and what each stage is worth."
    from ofa_bert.recipes.jobs import RecipeJob

    job = parse(RecipeJob, argv, about, EXAMPLE, command="recipe")
    job = dataclasses.replace(job, loop=with_length(job.loop, job.pair.teacher))
    targets = job.stages.target_num_heads, job.stages.target_ffn_dim
    check = early.distilling(job.pair, job.loop, *targets, cut=not job.corpus.corpus)
    datasets = begin(job.data, job.loop.device, check)
    from ofa_bert.recipes.fastformers import recipe

    found = recipe(job, datasets, argv)
    leave_page(job.output_dir, "recipe", argv)
    show(found)
