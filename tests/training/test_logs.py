"""What trainings say of themselves: the log that each leaves, the viewers they are told of, what resuming keeps."""

import json
import sys

import pytest

import run_glue
from ofa_bert.__main__ import main
from ofa_bert.errors import RunError, UserError
from ofa_bert.options import build, options_of
from ofa_bert.system import packages
from ofa_bert.training.logs import viewers
from ofa_bert.training.logs.logs import Logs
from ofa_bert.training.logs.moment import Moment, named_scores
from ofa_bert.training.logs.run_log import LOG, read_log
from ofa_bert.training.logs.viewers import VIEWERS, About
from ofa_bert.training.settings import LoopSettings

EXITS = {
    "held_out": 0.5,
    "exits": [{"name": "w1", "sub_model": {"heads": [2, 2]}, "held_out": 0.25,
               "exits": [{"layers": 2, "score": 0.125}, {"layers": 4, "score": 0.75}]}],
}  # fmt: skip


def tell(logs):
    logs.losses(10, {"logit": 0.5, "rep": 0.25}, 1e-4, 7.5)
    logs.scores(10, {"w1_d1": {"score": 0.5, "accuracy": 0.5}})
    logs.losses(20, {"logit": 0.375}, 0.0, 8.0)


def test_scores_have_names_by_their_place():
    assert named_scores(EXITS) == {"held_out": 0.5, "w1/held_out": 0.25, "w1/2/score": 0.125, "w1/4/score": 0.75}
    assert named_scores({"accuracy": 1, "what": "text", "ok": True, "none": None}) == {"accuracy": 1}


def test_a_moment_comes_back_from_the_log(tmp_path):
    with Logs.opened(tmp_path, (), About("a run")) as logs:
        tell(logs)
        logs.scores(30, {"accuracy": float("nan")})
    found = read_log(tmp_path)
    assert found[0] == Moment(step=10, losses={"logit": 0.5, "rep": 0.25}, learning_rate=1e-4, steps_per_second=7.5)
    assert found[1].scores == {"w1_d1/score": 0.5, "w1_d1/accuracy": 0.5}
    assert found[0].named() == {
        "train/logit": 0.5, "train/rep": 0.25, "train/learning_rate": 1e-4, "train/steps_per_second": 7.5,
    }  # fmt: skip
    assert found[1].named() == {"evaluation/w1_d1/score": 0.5, "evaluation/w1_d1/accuracy": 0.5}
    assert [moment.step for moment in found] == [10, 10, 20, 30]
    assert found[3].scores["accuracy"] != found[3].scores["accuracy"]


@pytest.mark.parametrize(("first", "kept"), [(0, []), (9, []), (10, [10, 10]), (20, [10, 10, 20])])
def test_a_run_that_goes_on_forgets_what_came_after_its_checkpoint(tmp_path, first, kept):
    with Logs.opened(tmp_path, (), About("a run")) as logs:
        tell(logs)
    with open(tmp_path / LOG, "a") as file:
        file.write('{"step": 5, "losses": {"lo')  # cut short by a kill
    assert len(read_log(tmp_path)) == 3
    with Logs.opened(tmp_path, (), About("a run", first_step=first)) as logs:
        assert [moment.step for moment in read_log(tmp_path)] == kept
        logs.losses(first + 1, {"logit": 1.0}, 0.0, 1.0)
    assert [moment.step for moment in read_log(tmp_path)] == [*kept, first + 1]


def test_a_log_that_nothing_of_ours_wrote_begins_anew(tmp_path, caplog):
    (tmp_path / LOG).write_text("no json\n")
    with pytest.raises(UserError, match=r"log\.jsonl, line 1: not JSON"):
        read_log(tmp_path)
    with Logs.opened(tmp_path, (), About("a run", first_step=3)) as logs:
        tell(logs)
    assert "it begins anew" in caplog.text
    assert len(read_log(tmp_path)) == 3


def test_without_writers_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Logs() as logs:
        tell(logs)
    assert list(tmp_path.iterdir()) == []


def test_what_was_opened_is_closed_when_another_viewer_fails(tmp_path, monkeypatch):
    closed = []

    class Good:
        def __init__(self, directory, about):
            self.name = directory.name

        def write(self, moment):
            raise RunError("the disk is full")

        def close(self):
            closed.append(self.name)

    def fails(directory, about):
        raise UserError("does not load")

    monkeypatch.setattr("ofa_bert.training.logs.logs.VIEWERS", {"good": Good, "bad": fails})
    with pytest.raises(UserError, match="does not load"):
        Logs.opened(tmp_path, ("good", "bad"), About("a run"))
    assert closed == ["good"]
    with pytest.raises(RunError, match="full"), Logs.opened(tmp_path, ("good",), About("a run")) as logs:
        tell(logs)
    assert closed == ["good", "good"]


def test_every_viewer_can_be_asked_for():
    (option,) = [item for item in options_of(LoopSettings) if item.name == "log_to"]
    assert set(option.choices) == set(VIEWERS) == {name for name in VIEWERS if packages.EXTRAS[name] == name}
    assert option.many


def test_a_viewer_that_is_not_installed_is_told_at_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "visualdl", None)
    words = ["finetune", "--task_name", "demo", "--model_name_or_path", "nothing", "--output_dir", str(tmp_path / "o")]
    assert main([*words, "--log_to", "visualdl"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('error: --log_to visualdl: VisualDL is not installed; pip install ".[visualdl]" in the dir')
    assert not (tmp_path / "o").exists()
    assert main([*words, "--log_to", "nothing"]) == 2
    assert "--log_to nothing: must be one of tensorboard, visualdl, wandb" in capsys.readouterr().err
    twice = build(LoopSettings, {"log_to": ("visualdl", "visualdl")}).problems()
    assert twice[0] == "`log_to` visualdl: given twice"


def test_a_package_is_there_when_it_could_be_imported(monkeypatch, tmp_path):
    assert packages.installed("numpy")
    assert not packages.installed("nothing_of_that_name")
    (tmp_path / "empty_folder").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not packages.installed("empty_folder")


def test_visualdl_has_every_number_by_its_name(tmp_path):
    pytest.importorskip("visualdl", reason="VisualDL is not installed")
    from visualdl import LogReader

    with Logs.opened(tmp_path, ("visualdl",), About("a run")) as logs:
        tell(logs)
    (path,) = (tmp_path / "visualdl").iterdir()
    reader = LogReader(file_path=str(path))
    assert set(reader.get_tags()["scalar"]) == {name for moment in read_log(tmp_path) for name in moment.named()}
    found = [(each.id, each.value) for each in reader.get_data("scalar", "train/logit")]
    assert found == [(10, 0.5), (20, 0.375)]
    assert [each.value for each in reader.get_data("scalar", "evaluation/w1_d1/accuracy")] == [0.5]


def test_tensorboard_has_every_number_by_its_name_and_forgets_what_was_cut_off(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Logs.opened(tmp_path, ("tensorboard",), About("a run")) as logs:
        tell(logs)
    with Logs.opened(tmp_path, ("tensorboard",), About("a run", first_step=10)) as logs:
        logs.losses(20, {"logit": 0.125}, 0.0, 8.0)
    found = EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {
        "train/logit", "train/rep", "train/learning_rate", "train/steps_per_second", "evaluation/w1_d1/score",
        "evaluation/w1_d1/accuracy",
    }  # fmt: skip
    assert [(each.step, each.value) for each in found.Scalars("train/logit")] == [(10, 0.5), (20, 0.125)]
    assert [(each.step, each.value) for each in found.Scalars("evaluation/w1_d1/accuracy")] == [(10, 0.5)]


def test_wandb_writes_offline_and_goes_on_as_the_same_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    names = []
    for first in (0, 10):
        with Logs.opened(tmp_path, ("wandb",), About("a run", {"seed": 1}, first)) as logs:
            tell(logs)
        names.append((tmp_path / "wandb" / "run-id").read_text())
    assert names[0] == names[1]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2


def test_wandb_that_nobody_logged_in_is_one_line(tmp_path, monkeypatch):
    """By a stand-in: what wandb raises without a key."""

    class Wandb:
        class Error(Exception):
            pass

        @staticmethod
        def Settings(**named):  # noqa: N802
            return named

        @classmethod
        def init(cls, **named):
            assert named["project"] == "ofa_bert"
            raise cls.Error("api_key not configured (no-tty)\nmore")

    monkeypatch.setattr(viewers.packages, "require", lambda name: Wandb)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    with pytest.raises(UserError, match=r"`log_to` wandb: api_key not configured \(no-tty\); set WANDB_MODE=offline"):
        Logs.opened(tmp_path, ("wandb",), About("a run"))


def test_a_training_leaves_its_log_its_page_and_what_viewers_read(tiny_bert_dir, glue_dir, tmp_path):
    """And a run that is resumed leaves the log of one that was not cut off."""
    common = ["--model_name_or_path", str(tiny_bert_dir), "--task_name", "SST-2", "--data_dir", str(glue_dir)]
    common += "--device cpu --max_seq_length 16 --logging_steps 5 --save_steps 10 --max_steps 20".split()
    whole = tmp_path / "whole"
    assert run_glue.main([*common, "--output_dir", str(whole), "--log_to", "visualdl"]) == 0
    found = read_log(whole)
    assert [moment.step for moment in found if moment.losses] == [5, 10, 15, 20]
    assert [moment.step for moment in found if moment.scores] == [10, 20]
    results = json.loads((whole / "results.json").read_text())
    assert [named_scores(each["scores"]) for each in results["history"]] == [m.scores for m in found if m.scores]
    assert results["data"]["parts"]["train"]["rows"] == 320
    assert results["data"]["labels"] == ["0", "1"]
    assert results["data"]["lengths"]["limit"] == 16
    page = (whole / "report.html").read_text()
    assert "run_glue.py" in page or "finetune" in page
    assert "2 labels: 0, 1." in page
    assert page.count("<svg") == 3
    (told,) = (whole / "visualdl").iterdir()

    from visualdl import LogReader

    reader = LogReader(file_path=str(told))
    said = [each.value for each in reader.get_data("scalar", "evaluation/accuracy")]
    assert said == pytest.approx([m.scores["accuracy"] for m in found if m.scores])

    # As a kill between two checkpoints leaves it: the newest checkpoint is older than the end of the log.
    assert interrupted_at_15(common, tmp_path / "killed") == [5, 10, 10, 15]
    assert run_glue.main([*common, "--output_dir", str(tmp_path / "killed"), "--resume"]) == 0
    again = read_log(tmp_path / "killed")
    assert [moment.step for moment in again] == [moment.step for moment in found]
    assert [moment.losses for moment in again] == [moment.losses for moment in found]
    assert [moment.scores for moment in again] == [moment.scores for moment in found]


def interrupted_at_15(common, output):
    """A training that is stopped behind step 15; the steps of its log."""
    from ofa_bert.training import loop

    class StoppedError(RunError):
        pass

    before = loop.interrupts.check

    def check():
        if read_log(output) and read_log(output)[-1].step == 15:
            raise StoppedError("stopped here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.interrupts, "check", check)
        assert run_glue.main([*common, "--output_dir", str(output)]) == 1
    assert loop.interrupts.check is before
    return [moment.step for moment in read_log(output)]
