"""A small shape, pre-trained by distillation."""

import sys
from collections.abc import Sequence

from ofa_bert.cli.commands import pretrain_elastic
from ofa_bert.cli.launch import parse_launched
from ofa_bert.cli.page import leave_page
from ofa_bert.cli.process import show
from ofa_bert.options import options_of
from ofa_bert.system import interrupts
from ofa_bert.training import early
from ofa_bert.training.output_directory import check_free
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.job import PretrainJob

# What --elastic alone has.
_ELASTIC_OPTIONS = {
    name: "is about --elastic; give that too"
    for name in {item.name for item in options_of(ElasticJob)} - {item.name for item in options_of(PretrainJob)}
}


def run(argv: Sequence[str] | None) -> None:
    given = sys.argv[1:] if argv is None else argv
    if "--elastic" in given:
        return pretrain_elastic.run(given)
    about = "Pre-train a shape on a text file: masked words, and a teacher's guesses for them (Bort)."
    example = (
        "python -m ofa_bert pretrain --teacher bert-base-uncased --shape 4,8,768,1024 --corpus texts.txt\n"
        "    --output_dir ./tmp/small --max_steps 100000 --device gpu\n"
        "python run_glue.py --model_name_or_path ./tmp/small --task_name SST-2 ...\n\n"
        "On several GPUs: ... --gpus 0,1        On a CPU's cores: ... --processes 2\n\n"
        "The shallow sub-models of an encoder, before any task: ... --elastic; --elastic --help explains."
    )
    job, launch = parse_launched(PretrainJob, argv, about, example, command="pretrain", elsewhere=_ELASTIC_OPTIONS)
    early.check_pretraining(job)
    check_free(job.output_dir, job.loop.resume)
    launch()
    from ofa_bert.models.device import select_device

    select_device(job.loop.device)
    from ofa_bert.training import distributed
    from ofa_bert.training.pretraining.pretrain import pretrain

    distributed.start(job.loop.device)
    interrupts.renew()
    results = pretrain(job)
    if distributed.is_main():
        scores, teacher = results["last"]["scores"], results["teacher"]
        show(f"{results['parameters']} parameters")
        show(f"held out: accuracy {scores['accuracy']:.4f}, loss {scores['loss']:.4f}")
        if teacher:
            show(f"teacher: accuracy {teacher['accuracy']:.4f}, loss {teacher['loss']:.4f}")
        leave_page(job.output_dir, "pretrain", argv)
        show(f"written to {job.output_dir}, report.html among it; finetune it with run_glue.py")
