"""Distillation of a teacher into a smaller student: losses, pairs that fit together, and the command."""

import json

import numpy as np
import paddle
import pytest

import run_glue
from helpers.directories import DISTIL_OPTIONS as COMMON
from helpers.directories import distil_arguments as arguments
from helpers.directories import encoder_dir
from helpers.launching import free_port, launch
from helpers.models import VOCABULARY, batch_of, build
from ofa_bert import __main__ as commands
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.errors import UserError
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.encoder import attention_mask, encoder_layers
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.training import run_directory
from ofa_bert.training.losses.classification import LOSSES as CLASSES
from ofa_bert.training.losses.distillation import attention_loss, spread_layers, token_weights
from ofa_bert.training.students import step as training_students_step
from ofa_bert.training.students.jobs import DistilJob
from ofa_bert.training.students.step import StudentObjective, attention_maps, run_states, state_loss
from ofa_bert.training.students.teacher_logits import TeacherLogits

SHORT = "--batch_size 8 --max_steps 6 --save_steps 2 --learning_rate 1e-3".split()


def parts_of(student, teacher, batch, **weights):
    """The step's losses by name, without training; the models are in eval mode."""
    objective = StudentObjective(CLASSES, **{"logit": 0, "state": 0, "attention": 0, "label": 0, **weights})
    return training_students_step.student_step(student, teacher, objective)(batch, 0, lambda loss: loss.backward())


def test_a_student_that_is_the_teacher_has_no_loss_but_the_entropy():
    model, batch = build(), batch_of(size=4)
    parts = parts_of(model, model, batch, logit=1, state=1, attention=1)
    probabilities = paddle.nn.functional.softmax(model(batch.input_ids, batch.token_type_ids))
    assert parts["state"] == 0
    assert parts["attention"] == pytest.approx(0, abs=1e-5)
    assert parts["logit"] == pytest.approx(float(-(probabilities * probabilities.log()).sum(-1).mean()), rel=1e-5)
    other = build(seed=1)
    assert min(parts_of(other, model, batch, logit=1, state=1, attention=1).values()) > 0.05


def test_layers_are_matched_at_the_same_share_of_the_depth():
    assert spread_layers(4, 12) == (2, 5, 8, 11)  # FastFormers: (i + 1) * M / N - 1
    assert spread_layers(12, 12) == tuple(range(12))
    assert spread_layers(3, 8) == (1, 4, 7)
    assert spread_layers(4, 2) == (0, 0, 0, 1)  # a deeper student


def test_state_loss_is_the_mean_over_real_tokens_of_the_matched_layers():
    teacher, student, batch = build(layers=4), build(layers=2, seed=1), batch_of(size=3)
    mask = attention_mask(teacher, batch.input_ids)
    own, wanted = run_states(student, batch, mask), run_states(teacher, batch, mask)
    real = batch.input_ids.numpy() != 0
    expected = 0.0
    for place, other in ((0, 0), (1, 2), (2, 4)):  # embeddings, layers 0 and 1 beside 1 and 3
        squares = ((own.states[place] - wanted.states[other]).numpy() ** 2).mean(-1)  # [B, T]
        expected += np.mean([squares[row][real[row]].mean() for row in range(3)])
    weights = token_weights(paddle.to_tensor(real.astype("float32")))
    assert state_loss(own, wanted, (1, 3), weights).item() == pytest.approx(expected, rel=1e-5)
    more = paddle.zeros([3, 4], "int64")
    padded = [paddle.concat([tensor, more], axis=1) for tensor in (batch.input_ids, batch.token_type_ids)]
    longer = batch.__class__(*padded, batch.labels, batch.index)
    found = parts_of(student, teacher, longer, state=1, attention=1)
    assert found == pytest.approx(parts_of(student, teacher, batch, state=1, attention=1), rel=1e-4)


def test_attention_maps_are_those_of_the_stock_layers():
    model, batch = build(), batch_of(size=3)
    mask = attention_mask(model, batch.input_ids)
    states = run_states(model, batch, mask)
    for index, found in zip((0, 3), attention_maps(model, states, mask, (0, 3))):
        attention = encoder_layers(model)[index].self_attn
        attention.need_weights = True
        _, wanted = attention(*[states.states[index]] * 3, attn_mask=mask)
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), atol=1e-6)


def test_attention_loss():
    rows = [[[1.0, 0, 0]] * 3, [[0, 1.0, 0]] * 3]  # two heads that look at other tokens
    two = paddle.to_tensor([rows])  # [1, 2, 3, 3]
    weights = token_weights(paddle.to_tensor([[1.0, 1.0, 0.0]]))
    assert attention_loss([two], [two], weights).item() == pytest.approx(0, abs=1e-6)
    assert attention_loss([two], [two[:, ::-1]], weights).item() == pytest.approx(1, abs=1e-6)
    # One head beside two: their mean, 45 degrees away from it.
    assert attention_loss([two[:, :1]], [two], weights).item() == pytest.approx(1 - 0.5**0.5, abs=1e-6)


def test_every_loss_reaches_the_weights_that_it_should():
    teacher, batch = build(layers=4), batch_of(size=3)
    reached = {}
    for name in ("logit", "state", "attention", "label"):
        student = build(layers=2, heads=2, seed=1)
        parts_of(student, teacher, batch, **{name: 1})
        reached[name] = {n for n, p in student.named_parameters() if p.grad is not None and np.any(p.grad.numpy() != 0)}
    last = "bert.encoder.layers.1."
    assert reached["logit"] == reached["label"] == {n for n, _ in student.named_parameters()}
    assert f"{last}linear2.weight" in reached["state"]
    assert "classifier.weight" not in reached["state"]
    assert f"{last}self_attn.q_proj.weight" in reached["attention"]
    assert f"{last}self_attn.v_proj.weight" not in reached["attention"]
    assert all(p.grad is None for p in teacher.parameters())


def test_a_student_learns_and_its_directory_is_like_any_other(models, glue_dir, tmp_path):
    options = "--batch_size 16 --num_train_epochs 4 --learning_rate 3e-3 --save_steps 40 --attention_weight 0.1".split()
    command = arguments(models, glue_dir, models / "small", tmp_path / "run", *options, "--label_weight", "0.5")
    assert commands.main(command) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    teacher = json.loads((models / "teacher" / "results.json").read_text())
    assert results["teacher"] == pytest.approx(teacher["best"]["scores"])
    assert results["best"]["score"] > 0.85
    model, _, record = load_model(tmp_path / "run" / "best")
    assert results["parameters"] == sum(p.size for p in model.parameters()) < results["teacher_parameters"]
    assert results["parameters"] == count_parameters(record.shape, whole_of(record))
    assert record.task.name == "sst-2"
    assert record.scores == results["best"]["scores"]
    assert commands.main(command) == 2
    assert commands.main([*command, "--resume"]) == 0


def whole_of(record):
    if record.sub_model is not None:
        return record.sub_model
    shape = record.shape
    return SubModelConfig(
        range(shape.num_layers), (shape.num_heads,) * shape.num_layers, (shape.ffn_size,) * shape.num_layers
    )


def test_a_shape_is_cut_from_the_teacher(models, glue_dir, tmp_path):
    command = arguments(models, glue_dir, "2,3,32,40", tmp_path / "run", *SHORT, "--learning_rate", "1e-12")
    assert commands.main(command) == 0
    model, _, record = load_model(tmp_path / "run" / "last")
    assert record.sub_model == SubModelConfig((0, 3), (3, 3), (40, 40))
    assert sum(p.size for p in model.parameters()) == count_parameters(record.shape, whole_of(record))
    # Not trained at that learning rate: each kept head and neuron is one of the teacher's, the most important ones.
    teacher, _, _ = load_model(models / "teacher" / "best")
    scores = json.loads((tmp_path / "run" / "importance.json").read_text())
    for place, index in enumerate((0, 3)):
        own, source = (encoder_layers(m)[i] for m, i in ((model, place), (teacher, index)))
        order = np.argsort(-np.asarray(scores["neurons"][index]), kind="stable")[:40]
        np.testing.assert_allclose(own.linear1.weight.numpy(), source.linear1.weight.numpy()[:, order], atol=1e-6)
    held_out = json.loads((tmp_path / "run" / "ofa_run.json").read_text())["settings"]
    assert "student_weights" not in held_out
    assert held_out["teacher_weights"]


@pytest.mark.slow
@pytest.mark.parametrize(("student", "more"), [("narrow", ""), ("2,4,32,64", "--state_weight 0")])
def test_a_run_that_was_interrupted_resumes_to_the_same_weights(models, glue_dir, tmp_path, student, more, monkeypatch):
    source = models / student if "," not in student else student
    base = [*SHORT, *more.split()]
    assert commands.main(arguments(models, glue_dir, source, tmp_path / "straight", *base)) == 0
    real = run_directory.save_checkpoint

    def stop_after_4(output, step, *rest):
        real(output, step, *rest)
        if step == 4:
            raise KeyboardInterrupt

    stopped = arguments(models, glue_dir, source, tmp_path / "stopped", *base)
    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "save_checkpoint", stop_after_4)
        assert commands.main(stopped) == 130
    assert commands.main([*stopped, "--resume"]) == 0
    for place in ("last/model.safetensors", "checkpoint-6/model.safetensors"):
        ours, theirs = (read_weights(tmp_path / run / place) for run in ("stopped", "straight"))
        for name, array in theirs.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)
    projected = any(name.startswith("projection.") for name in theirs)
    assert projected == (student == "narrow")
    assert not any("projection" in name for name in read_weights(tmp_path / "straight" / "best" / "model.safetensors"))


def test_a_projection_is_trained_too(models, glue_dir, tmp_path):
    command = arguments(models, glue_dir, models / "narrow", tmp_path / "run", *SHORT)
    assert commands.main(command) == 0
    paddle.seed(42)
    start = paddle.nn.Linear(16, 32).weight.numpy()
    found = read_weights(tmp_path / "run" / "checkpoint-6" / "model.safetensors")["projection.weight"]
    assert found.shape == start.shape
    assert 1e-4 < np.abs(found - start).max() < 0.1


def test_for_logits_alone_the_teacher_reads_train_once(models, glue_dir, tmp_path, monkeypatch):
    """The same weights as with a teacher that is asked in every step, and no teacher in the steps."""
    options = [*SHORT, "--max_steps", "60", "--save_steps", "60", "--attention_weight", "0"]
    asked = []
    real = training_students_step.run_states

    def spying(model, batch, mask):
        asked.append(len(encoder_layers(model)))
        return real(model, batch, mask)

    monkeypatch.setattr(training_students_step, "run_states", spying)
    for name, weight in (("once", "0"), ("always", "1e-30")):
        asked.clear()
        run = arguments(models, glue_dir, models / "small", tmp_path / name, *options, "--state_weight", weight)
        assert commands.main(run) == 0
        assert (asked.count(4), asked.count(2)) == (0 if name == "once" else 60, 60)
    ours, theirs = (read_weights(tmp_path / name / "last" / "model.safetensors") for name in ("once", "always"))
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)


def test_what_the_teacher_answered_is_kept_and_a_damaged_file_is_not_believed(tmp_path, monkeypatch):
    model, batch = build(), batch_of(size=4)
    wanted = model(batch.input_ids, batch.token_type_ids).numpy()
    rows = [np.trim_zeros(row, "b") for row in batch.input_ids.numpy()]
    types = [row[: len(ids)] for ids, row in zip(rows, batch.token_type_ids.numpy())]
    arguments = Encoded(rows, types, batch.labels.numpy()), 3, 0, tmp_path / "cache"
    asked = []
    real = TeacherLogits._compute
    monkeypatch.setattr(TeacherLogits, "_compute", lambda self: asked.append(1) or real(self))
    for _ in range(2):
        np.testing.assert_allclose(TeacherLogits(model, *arguments).of(batch).numpy(), wanted, atol=1e-5)
    assert len(asked) == 1
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:40])
    np.testing.assert_allclose(TeacherLogits(model, *arguments).of(batch).numpy(), wanted, atol=1e-5)
    TeacherLogits(build(seed=1), *arguments).of(batch)
    assert len(asked) == 3
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(models, glue_dir, tmp_path):
    shared = "--max_steps 4 --save_steps 4 --learning_rate 1e-3 --student_dropout 0".split()
    one = arguments(models, glue_dir, models / "narrow", tmp_path / "one", *shared, "--batch_size", "16")
    assert commands.main(one) == 0
    two = arguments(models, glue_dir, models / "narrow", tmp_path / "two", *shared, "--batch_size", "8")
    launch("ofa_bert/__main__.py", 2, two, tmp_path / "log", free_port())
    ours, theirs = (read_weights(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("two", "one"))
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, atol=2e-5, err_msg=name)


def test_regression(tmp_path, tiny_bert_dir):
    for split in ("train", "dev"):
        rows = [f"{'good ' * (n % 4)}film\t{float(n % 4)}" for n in range(40)]
        (tmp_path / f"{split}.tsv").write_text("\n".join(["text\tlabel", *rows]) + "\n", encoding="utf-8")
    data = ["--train_file", str(tmp_path / "train.tsv"), "--dev_file", str(tmp_path / "dev.tsv")]
    data += "--label_kind numbers --device cpu --max_seq_length 16 --batch_size 8 --learning_rate 3e-3".split()
    teacher = ["--model_name_or_path", str(tiny_bert_dir), "--output_dir", str(tmp_path / "teacher")]
    assert run_glue.main([*data, *teacher, "--num_train_epochs", "6"]) == 0
    own = ["--teacher", str(tmp_path / "teacher"), "--student", "2,4,32,64", "--output_dir", str(tmp_path / "run")]
    assert commands.main(["distil", *data, *own, "--num_train_epochs", "6", "--label_weight", "1"]) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text())["best"]["score"] > 0.5


def test_mistakes_are_said_in_one_line(models, glue_dir, tmp_path, tiny_bert_dir, capsys):
    other = encoder_dir(tmp_path / "other", vocabulary=[*VOCABULARY[:-1], "unheard"])
    cased = encoder_dir(tmp_path / "cased")
    settings = json.loads((cased / "tokenizer_config.json").read_text())
    (cased / "tokenizer_config.json").write_text(json.dumps({**settings, "do_lower_case": False}))
    # Lower-cased or not makes a difference only where the data have capitals.
    loud = tmp_path / "loud"
    loud.mkdir()
    for split in ("train", "dev"):
        text = (glue_dir / f"{split}.tsv").read_text().split("\n", 1)
        (loud / f"{split}.tsv").write_text(text[0] + "\n" + text[1].title(), encoding="utf-8")

    def refused(student, *more, teacher=models / "teacher", data=glue_dir):
        command = ["distil", *COMMON, "--data_dir", str(data), "--teacher", str(teacher), "--student", str(student)]
        assert commands.main([*command, "--output_dir", str(tmp_path / "run"), *SHORT, *more]) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    assert "has another vocabulary" in refused(other)
    assert "',' is number none and 26" in refused(other)
    assert "do_lower_case" in refused(cased, data=loud)
    assert "5 heads" in refused("2,5,32,64")
    assert "has 4" in refused("2,5,32,64")
    assert "python -m ofa_bert pretrain" in refused("2,4,48,64")
    assert "9 layers" in refused("9,4,32,64")
    assert "65 FFN neurons" in refused("2,4,32,65")
    assert "four numbers above 0" in refused("2,4,32")
    assert "four numbers above 0" in refused("2,0,32,64")
    assert "nowhere" in refused(models / "small", teacher=tmp_path / "nowhere")
    assert "without a classifier" in refused(models / "small", teacher=tiny_bert_dir)
    assert "--max_seq_length 99" in refused(models / "small", "--max_seq_length", "99")
    assert "leaves no loss" in refused(models / "small", "--logit_weight", "0", "--state_weight", "0")
    assert "must be at least 0" in refused(models / "small", "--state_weight", "-1")
    assert "--held_out_share 0" in refused("2,4,32,64", "--held_out_share", "0")
    assert not (tmp_path / "run" / "best").exists()


def test_a_teacher_of_other_labels_is_refused(models, tmp_path, capsys):
    for split in ("train", "dev"):
        (tmp_path / f"{split}.tsv").write_text("text\tlabel\na film\tyes\nno plot\tno\n", encoding="utf-8")
    data = ["--train_file", str(tmp_path / "train.tsv"), "--dev_file", str(tmp_path / "dev.tsv"), "--device", "cpu"]
    for student in (models / "small", "2,4,32,64"):
        own = ["--teacher", str(models / "teacher"), "--student", str(student), "--output_dir", str(tmp_path / "run")]
        assert commands.main(["distil", *data, *own, "--max_seq_length", "16"]) == 2
        assert "was finetuned for task sst-2" in capsys.readouterr().err


def test_the_help_teaches(capsys):
    with pytest.raises(SystemExit):
        commands.main(["distil", "--help"])
    shown = capsys.readouterr().out
    assert "python -m ofa_bert distil --teacher" in shown
    assert "--attention_weight X" in shown


def test_a_resumed_run_notices_other_weights(models, glue_dir, tmp_path, capsys):
    command = arguments(models, glue_dir, models / "small", tmp_path / "run", *SHORT, "--max_steps", "2")
    assert commands.main(command) == 0
    record = tmp_path / "run" / "ofa_run.json"
    record.write_text(record.read_text().replace('"student_weights": "', '"student_weights": "0'), encoding="utf-8")
    assert commands.main([*command, "--resume"]) == 2
    assert "--student_weights was" in capsys.readouterr().err


def test_defaults_follow_the_student():
    words = "--teacher T --task_name rte --output_dir O --student".split()
    assert parse(DistilJob, [*words, "S"], "").held_out() == 0
    assert parse(DistilJob, [*words, "6,12,384,1536"], "").held_out() == 0.05
    with pytest.raises(UserError, match="four numbers"):
        parse(DistilJob, [*words, "6,12,384,"], "")
