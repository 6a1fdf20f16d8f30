"""Texts changed on the fly in training: what flags allow, which labels count, what the teacher sees, resuming."""

import json

import numpy as np
import paddle
import pytest

import run_glue_ofa
from helpers.models import batch_of, build
from ofa_bert import __main__ as commands
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.batches import Batch
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights
from ofa_bert.models.encoder import word_embeddings
from ofa_bert.recipes.jobs import RecipeJob
from ofa_bert.training import loop, run_directory
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.exits.jobs import ExitTrainingJob
from ofa_bert.training.losses.classification import LOSSES
from ofa_bert.training.losses.exits import certainty_loss
from ofa_bert.training.losses.task import on_labelled
from ofa_bert.training.students.jobs import DistilJob
from ofa_bert.training.students.step import StudentObjective, student_step
from ofa_bert.training.supernet import step as training_supernet_step
from ofa_bert.training.supernet.job import SupernetJob

MODEL = "--model_name_or_path M --task_name rte --output_dir O"
PAIR = "--teacher T --student S --task_name rte --output_dir O"


@pytest.mark.parametrize(
    ("job", "line", "part"),
    [
        (SupernetJob, f"{MODEL} --augment 1.5", "--augment 1.5: must be at least 0 and below 1, for example 0.3"),
        (SupernetJob, f"{MODEL} --augment_share 0.2", "--augment_share: is about --augment"),
        (DistilJob, f"{PAIR} --augment 2", "--augment 2.0: must be at least 0 and below 1"),
        (DistilJob, f"{PAIR} --augment 2", "copies of every text are --augment_copies"),
        (DistilJob, f"{PAIR} --augment 0.3 --augment_share 1 --label_weight 1", "--augment_share 1: --label_weight 1"),
        (
            DistilJob,
            f"{PAIR} --augment 0.3 --label_weight 1 --logit_weight 0 --state_weight 0",
            "nothing asks the teacher",
        ),
        (RecipeJob, f"{PAIR} --augment_share 0.2", "--augment_share: is about --augment"),
        (ExitTrainingJob, f"{MODEL} --exits deebert --augment 0.3", "give --exit_lambda above 0"),
        (ExitTrainingJob, f"{MODEL} --exits geep --augment 0.3 --augment_share 1", "--augment_share 1: --exits geep"),
    ],
)
def test_refused_flags(job, line, part):
    with pytest.raises(UserError) as caught:
        parse(job, line.split(), "")
    assert part in str(caught.value)


def test_flags_of_every_training():
    told = (0.3, 0.25)
    for job, line in (
        (SupernetJob, MODEL),
        (DistilJob, f"{PAIR} --label_weight 1"),
        (RecipeJob, PAIR),
        (ExitTrainingJob, f"{MODEL} --exits joint --exit_lambda 0.5"),
    ):
        found = parse(job, f"{line} --augment 0.3 --augment_share 0.25".split(), "").augmentation
        assert (found.augment, found.augment_share) == told
        assert parse(job, line.split(), "").augmentation.augment == 0


def test_labels_of_changed_texts_count_for_nothing():
    weights = np.asarray([0, 2, 0, 2], "float32")
    logits = paddle.to_tensor(np.random.default_rng(0).normal(size=(4, 3)).astype("f4"), stop_gradient=False)
    labels = paddle.to_tensor([0, 1, 2, 0])
    loss = on_labelled(LOSSES, weights).task(logits, labels)
    kept = paddle.to_tensor([1, 3])
    assert loss.item() == pytest.approx(LOSSES.task(logits[kept], labels[kept]).item(), rel=1e-6)
    loss.backward()
    assert not logits.grad.numpy()[[0, 2]].any()
    assert logits.grad.numpy()[[1, 3]].any()
    assert on_labelled(LOSSES, np.zeros(4, "float32")).task(logits, labels).item() == 0
    assert on_labelled(LOSSES, None) is LOSSES
    certain = paddle.to_tensor([0.5, 0.25, 0.5, 0.25])
    other = paddle.to_tensor([0.9, 0.25, 0.1, 0.25])
    found = [certainty_loss(each, logits, labels, LOSSES, weights).item() for each in (certain, other)]
    assert found[0] == found[1] > 0


def test_halves_of_a_batch_add_up_to_the_whole():
    """As two processes do: their gradients are averaged, however many labels each has."""
    weights = np.asarray([0, 2, 2, 2], "float32")
    logits, labels = paddle.to_tensor(np.random.default_rng(1).normal(size=(4, 3))), paddle.to_tensor([0, 1, 2, 0])
    whole = on_labelled(LOSSES, weights).task(logits, labels).item()
    halves = [on_labelled(LOSSES, weights[part]).task(logits[part], labels[part]) for part in (slice(2), slice(2, 4))]
    assert sum(half.item() for half in halves) / 2 == pytest.approx(whole, rel=1e-6)


def test_a_student_never_hears_the_labels_of_changed_texts():
    student, teacher, batch = build(layers=2, seed=1), build(), batch_of(size=4)
    step = student_step(student, teacher, StudentObjective(LOSSES, 1, 0, 0, 1))
    weights = np.asarray([0, 0, 2, 2], "float32")

    def losses(labels):
        changed = Batch(batch.input_ids, batch.token_type_ids, paddle.to_tensor(labels), batch.index, weights)
        return step(changed, 0, lambda loss: loss.backward())

    assert losses([0, 1, 2, 0]) == losses([1, 2, 2, 0])
    assert losses([0, 1, 2, 0])["label"] != losses([0, 1, 1, 0])["label"]


@pytest.mark.parametrize(("model_type", "width"), [("bert", 32), ("electra", 16)])
def test_near_words_are_looked_up_in_the_table_that_ids_index(model_type, width):
    table = word_embeddings(build(model_type))
    assert table.shape == (40, width)  # ELECTRA's own width, before its projection


OPTIONS = (
    "--task_name SST-2 --device cpu --max_seq_length 32 --logging_steps 2 --batch_size 8 --max_steps 4 --save_steps 2"
    " --learning_rate 1e-3 --width_mult_list 1.0 0.5 --augment 0.5"
).split()


def supernet_arguments(models, glue_dir, output, *more):
    data = ["--data_dir", str(glue_dir), "--model_name_or_path", str(models / "teacher")]
    return [*OPTIONS, *data, "--output_dir", str(output), *more]


def test_the_teacher_answers_the_changed_text_and_a_resumed_run_sees_the_same(models, glue_dir, tmp_path, monkeypatch):
    seen = {"teacher": [], "student": []}
    forward, embed = training_supernet_step.teacher_forward, training_supernet_step.embed

    def teacher_forward(teacher, batch):
        seen["teacher"].append(batch.input_ids.numpy())
        return forward(teacher, batch)

    def embedded(model, ids, types):
        seen["student"].append(ids.numpy())
        return embed(model, ids, types)

    monkeypatch.setattr(training_supernet_step, "teacher_forward", teacher_forward)
    monkeypatch.setattr(training_supernet_step, "embed", embedded)
    straight, cut = tmp_path / "straight", tmp_path / "cut"
    assert run_glue_ofa.main(supernet_arguments(models, glue_dir, straight)) == 0
    assert all(np.array_equal(a, b) for a, b in zip(seen["teacher"], seen["student"], strict=True))
    first = list(seen["teacher"])
    plain = tmp_path / "plain"
    assert run_glue_ofa.main([*supernet_arguments(models, glue_dir, plain, "--augment", "0")]) == 0
    assert any(not np.array_equal(a, b) for a, b in zip(first, seen["teacher"][4:]))
    del seen["teacher"][:]
    real = run_directory.save_checkpoint

    def stop(*parts):
        real(*parts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "save_checkpoint", stop)
        assert run_glue_ofa.main(supernet_arguments(models, glue_dir, cut)) == 130
    assert run_glue_ofa.main(supernet_arguments(models, glue_dir, cut, "--resume")) == 0
    assert all(np.array_equal(a, b) for a, b in zip(first, seen["teacher"], strict=True))
    ours, theirs = (read_weights(run / "last" / "model.safetensors") for run in (cut, straight))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_without_the_flag_batches_are_what_they_were(models, glue_dir, tmp_path, monkeypatch):
    kinds = []
    monkeypatch.setattr(loop, "to_tensors", lambda batch: kinds.append(batch.label_weights) or to_tensors(batch))
    run = supernet_arguments(models, glue_dir, tmp_path / "run", "--augment", "0", "--max_steps", "1")
    assert run_glue_ofa.main(run) == 0
    assert kinds == [None]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["deebert", "geep", "joint"])
def test_exits_train_on_changed_texts(models, glue_dir, tmp_path, kind):
    run = supernet_arguments(models, glue_dir, tmp_path / "run", "--exits", kind, "--exit_lambda", "0.5")
    place = run.index("--width_mult_list")
    assert run_glue_ofa.main([*run[:place], *run[place + 3 :]]) == 0
    config = json.loads((tmp_path / "run" / "last" / "ofa_config.json").read_text())["config"]
    assert (config["augment"], config["augment_share"]) == (0.5, 0.5)


@pytest.mark.slow
def test_a_student_learns_from_changed_texts_without_known_answers(models, glue_dir, tmp_path):
    options = "--batch_size 8 --max_steps 2 --save_steps 2 --augment 0.3 --state_weight 0".split()
    data = ["--task_name", "SST-2", "--device", "cpu", "--max_seq_length", "32", "--data_dir", str(glue_dir)]
    pair = ["--teacher", str(models / "teacher"), "--student", str(models / "small")]
    assert commands.main(["distil", *data, *pair, "--output_dir", str(tmp_path / "run"), *options]) == 0
    assert not list((tmp_path / "run" / "token_cache").glob("teacher-*.logits"))
