"""The shallow sub-models of an encoder learn from the encoder itself, before any task: no labels, plain text.

    python -m ofa_bert pretrain --elastic --model_name_or_path bert-base-uncased --corpus texts.txt \\
        --depth_mult_list 1.0 0.5 --output_dir ./tmp/elastic --device gpu
    python run_glue.py --model_name_or_path ./tmp/elastic --task_name SST-2 ... --output_dir ./tmp/SST-2
    python run_glue_ofa.py --model_name_or_path ./tmp/SST-2 --depth_mult_list 1.0 0.5 ... --output_dir ./tmp/SST-2-ofa

Every depth is trained in every step: its hidden states towards those of the encoder as it came, and the relations of
queries, keys and values of its last layer (MiniLMv2). Once done it serves every task: what run_glue.py finetunes from
it remembers the layers, and a supernet keeps the same ones unless --layer_choice says otherwise.

On several GPUs:    ... --gpus 0,1
On a CPU's cores:   ... --processes 2

Writes best/ (nearest to the encoder on held-out texts), last/, the newest checkpoint and results.json to --output_dir.
"""

import dataclasses
from collections.abc import Sequence

from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.parser import paragraphs
from ofa_bert.cli.process import show
from ofa_bert.models.record import numbers_of_each
from ofa_bert.options import options_of
from ofa_bert.system import interrupts
from ofa_bert.training import early
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.job import PretrainJob
from ofa_bert.training.recorded import with_length

# What pretraining of a shape alone has.
_SHAPE_OPTIONS = {
    name: "is about the pre-training of a shape; leave it out with --elastic"
    for name in {item.name for item in options_of(PretrainJob)} - {item.name for item in options_of(ElasticJob)}
}


def run(argv: Sequence[str] | None) -> None:
    job, launch = parse_launched(ElasticJob, argv, *paragraphs(__doc__), command="pretrain", elsewhere=_SHAPE_OPTIONS)
    job = dataclasses.replace(job, loop=with_length(job.loop, job.model.model_name_or_path))
    early.check_elastic(job)
    check_free(job.output_dir, job.loop.resume)
    launch()
    from ofa_bert.models.device import select_device

    select_device(job.loop.device)
    from ofa_bert.training import distributed
    from ofa_bert.training.pretraining.elastic import pretrain_elastic
    from ofa_bert.training.pretraining.elastic_plan import line_of

    distributed.start(job.loop.device)
    interrupts.renew()
    results = pretrain_elastic(job)
    if distributed.is_main():
        best = results["best"]
        show(f"nearest to the encoder on held-out texts after step {best['step']}:")
        for name, values in numbers_of_each(best["scores"]).items():
            show(line_of(name, values))
        leave_page(job.output_dir, "pretrain", argv)
        show(f"written to {job.output_dir}, report.html among it; finetune it with run_glue.py")
