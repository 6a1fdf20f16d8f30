"""What can be said of a run before Paddle is loaded: by its data, and by what the directories of its models state."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ofa_bert.data.corpus import count_texts
from ofa_bert.errors import UserError
from ofa_bert.exits.layout import check_one_answer
from ofa_bert.submodels.shape import Shape
from ofa_bert.submodels.values import SubModelConfig, scaled
from ofa_bert.tasks.task import Task
from ofa_bert.training.exits.jobs import ExitTrainingJob
from ofa_bert.training.exits.layouts import choose_layout
from ofa_bert.training.pretraining.elastic_job import ElasticJob, uneven_relations
from ofa_bert.training.pretraining.job import PretrainJob, shape_from
from ofa_bert.training.settings import FinetuneJob, LoopSettings, ModelSource
from ofa_bert.training.stated import StatedModel, stated
from ofa_bert.training.students.jobs import CutShape, PairSource, PruneJob
from ofa_bert.training.supernet.job import SupernetJob

# UserError for what cannot be trained on the task.
Check = Callable[[Task], None]


def finetuning(job: FinetuneJob) -> Check:
    return _of_source(job.model, job.loop, fresh=job.fresh_head)


def supernet(job: SupernetJob) -> Check:
    general = _of_source(job.model, job.loop)

    def check(task: Task) -> None:
        general(task)
        teacher = stated(job.teacher, job.model.model_type) if job.teacher else None
        if teacher is not None:
            teacher.check_task(task)
            teacher.check_length(job.loop.length, "the teacher")
            teacher.check_pairs(task)

    return check


def exits(job: ExitTrainingJob) -> Check:
    general = _of_source(job.model, job.loop)

    def check(task: Task) -> None:
        check_one_answer(task)
        general(task)
        model = stated(job.model.model_name_or_path, job.model.model_type)
        if model is None or model.widest is None:
            return
        space = model.record.space
        choose_layout(job, space.sub_models() if space else {"model": model.widest})

    return check


def pruning(job: PruneJob) -> Check:
    wanted = {
        "heads": (job.target_num_heads, f"`target_num_heads` {job.target_num_heads}"),
        "ffn": (job.target_ffn_dim, f"`target_ffn_dim` {job.target_ffn_dim}"),
    }

    def check(task: Task) -> None:
        model = stated(job.model_name_or_path, job.model_type)
        if model is not None:
            model.check_task(task)
            model.check_length(LoopSettings(max_seq_length=job.max_seq_length).length)
            model.check_pairs(task)
            model.check_size(job.model_name_or_path, wanted)

    return check


def distilling(
    pair: PairSource, loop: LoopSettings, heads: int | None = None, ffn: int | None = None, cut: bool = True
) -> Check:
    """heads, ffn: what is pruned from the student afterwards. cut: a shape is cut from the teacher, not pre-trained."""

    def check(task: Task) -> None:
        teacher, shape = stated(pair.teacher, pair.model_type), pair.shape()
        if teacher is not None:
            teacher.check_task(task)
            teacher.check_length(loop.length, "the teacher")
            teacher.check_pairs(task)
            if shape is not None and cut:
                check_cut(teacher, shape, pair.student)
        family = pair.model_type if teacher is None else teacher.model_type  # of both
        student = stated(pair.student, family) if shape is None else None
        has = student.widest if student is not None else None
        if student is not None:
            student.check_task(task)
            student.check_length(loop.length, "the student")
            student.check_pairs(task)
        if shape is not None:
            has = SubModelConfig((0,), (shape.heads,), (shape.ffn,))
        if has is not None:
            _check_pruning(has, heads, ffn)

    return check


def check_cut(teacher: StatedModel, shape: CutShape, student: str) -> None:
    """UserError for a shape that cannot be cut from the teacher."""
    hidden, flag = teacher.size("hidden_size"), f"`student` {student}"
    if hidden is not None and hidden != shape.hidden:
        raise UserError(other_hidden(shape.hidden, hidden, student))
    teacher.check_size(
        "the teacher", {"layers": (shape.layers, flag), "heads": (shape.heads, flag), "ffn": (shape.ffn, flag)}
    )


def other_hidden(wanted: int, hidden: int, student: str) -> str:
    return (
        f"`student` {student}: hidden size {wanted} cannot be cut from a teacher of {hidden}, only layers, heads and"
        f" neurons can; give {hidden}, or pre-train this shape (python -m ofa_bert pretrain `shape` ...) and pass its"
        " directory as `student`"
    )


def _check_pruning(has: SubModelConfig, heads: int | None, ffn: int | None) -> None:
    most = {"num_heads": (heads, min(has.heads)), "ffn_dim": (ffn, min(has.ffn))}
    for what, (wanted, number) in most.items():
        if wanted is not None and wanted > number:
            raise UserError(f"`target_{what}` {wanted}: the student has {number}; ask for 1 to {number}")


def check_pretraining(job: PretrainJob) -> None:
    """UserError for a shape that its teacher cannot start, and for texts longer than the teacher reads."""
    shape, teacher = shape_from(job.shape), stated(job.teacher, job.model_type)
    if teacher is not None:
        teacher.check_length(job.loop.length, "the teacher")
        if job.initialise == "teacher":
            _check_start(teacher, shape, job.shape)
    count_texts(job.corpus, job.held_out)


def check_elastic(job: ElasticJob) -> None:
    """UserError for an encoder without such depths or relations, for texts longer than it reads, for a bad corpus."""
    encoder = stated(job.model.model_name_or_path, job.model.model_type)
    if encoder is not None:
        _check_depths(job, encoder)
    count_texts(job.corpus, job.held_out)


def _check_depths(job: ElasticJob, encoder: StatedModel) -> None:
    if encoder.record.is_sub_model:
        raise UserError(f"{encoder.where}: is an exported sub-model; name the encoder, or the model it was made from")
    encoder.check_length(job.loop.length, "the encoder")
    width, layers = encoder.size("hidden_size"), encoder.size("num_hidden_layers")
    if job.relation_heads is not None and width is not None and width % job.relation_heads:
        raise UserError(uneven_relations(job.relation_heads, width))
    if layers is not None and all(scaled(layers, depth) == layers for depth in job.depth_mult_list):
        raise UserError(f"`depth_mult_list` {' '.join(map(str, job.depth_mult_list))}: keeps all {layers} layers")


def _check_start(teacher: StatedModel, shape: Shape, text: str) -> None:
    sizes: Mapping[str, tuple[int, int | None]] = {
        "layers": (shape.depth, teacher.size("num_hidden_layers")),
        "hidden size": (shape.hidden, teacher.size("hidden_size")),
        "FFN neurons": (shape.ffn, teacher.size("intermediate_size")),
    }
    wrong = [f"{name} {wanted}, and it has {has}" for name, (wanted, has) in sizes.items() if has and wanted > has]
    if wrong:
        raise UserError(
            f"`shape` {text}: cannot start from the teacher: {'; '.join(wrong)}. Ask for no more than it has, or leave"
            " `initialise` out to start from random weights"
        )


def _of_source(source: ModelSource, loop: LoopSettings, fresh: bool = False) -> Check:
    def check(task: Task) -> None:
        model = stated(source.model_name_or_path, source.model_type)
        if model is None:
            return
        model.check_head(task)
        if not fresh:
            model.check_task(task)
        model.check_length(loop.length)
        if source.tokenizer_name_or_path is None:
            model.check_pairs(task)

    return check
