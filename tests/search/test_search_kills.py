"""A search that is killed at any point goes on as if it had not been; a study that cannot be used is one line."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from helpers.paths import ROOT, TESTS
from helpers.searching import SHAPE, SMALL, nsga, seen
from ofa_bert.errors import RunError, UserError
from ofa_bert.submodels.values import uniform
from ofa_bert.system.owner import Owner

pytestmark = pytest.mark.slow  # many searches, killed and gone on with

FUZZ = bool(os.environ.get("OFA_BERT_FUZZ"))
TRIALS = 12
# Only first guesses run out, a generation ends, children have parents: each happens within the trials.
SEARCH = {"population": 4, "first": [uniform(SHAPE, 0.5)]}


def kill_before(number):
    """Kill this process before its `number`-th commit of a change; the list of the changed tables, commit by commit.

    Whatever happens between two such commits leaves the same file.
    """
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    made, open_ones = [], {}

    @event.listens_for(Engine, "before_cursor_execute")
    def sees(connection, cursor, statement, *_):
        word, *rest = statement.split(None, 3)
        if word in ("INSERT", "UPDATE", "DELETE", "CREATE"):
            open_ones.setdefault(connection, []).append(" ".join([word, *rest[:2]]))

    @event.listens_for(Engine, "commit")
    def commits(connection):
        changes = open_ones.pop(connection, None)
        if changes:
            made.append(changes)
            if len(made) == number:
                os.kill(os.getpid(), signal.SIGKILL)

    return made


def in_a_fork(work, *arguments):
    """What `work(*arguments)` returns, as JSON, from a process of its own; None when that was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            os.write(writing, json.dumps(work(*arguments)).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


def searched(directory, seed, trials=TRIALS):
    found = seen(nsga(Path(directory), seed=seed, **SEARCH).run(trials))
    return [[sub_model.to_json(), value, cost] for sub_model, value, cost in found]


def killed(begun, where, seed, trials, number):
    """Go on with a copy of a search, and be killed before a commit; the changes that were committed."""
    shutil.copytree(begun, where)
    made = kill_before(number)
    searched(where, seed, trials)
    return made


def drive(directory, seed, places):
    """For each number of finished trials in `places`: kill a search before every commit of the next one, and go on."""
    directory = Path(directory)
    searched(directory / "imports", seed, 1)  # before the forks, so that none of them has to
    whole = in_a_fork(searched, directory / "whole", seed)
    kills, different = 0, []
    for done in places:
        begun = directory / f"{done}"
        in_a_fork(searched, begun, seed, done) if done else begun.mkdir()
        commits = in_a_fork(killed, begun, directory / f"{done}-0", seed, done + 1, 0)
        for number in range(1, len(commits) + 1):
            where = directory / f"{done}-{number}"
            kills += in_a_fork(killed, begun, where, seed, done + 1, number) is None
            if in_a_fork(searched, where, seed, done + 3) != whole[: done + 3]:
                different.append([done, number, commits[number - 1]])
    return {"kills": kills, "different": different}


def driven(directory, seed, places):
    """`drive` in a process without Paddle, whose threads no fork should inherit."""
    script = f"import json, sys; sys.path[:0] = [{str(ROOT)!r}, {str(TESTS)!r}, {str(TESTS / 'search')!r}]\n"
    script += "import test_search_kills as t\nassert 'paddle' not in sys.modules\n"
    script += f"print(json.dumps(t.drive({str(directory)!r}, {seed}, {list(places)})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(3000 if FUZZ else 900)
@pytest.mark.parametrize("seed", range(3, 13) if FUZZ else (3,))
def test_a_kill_between_asking_and_recording_changes_nothing(tmp_path, seed):
    # One with parents; OFA_BERT_FUZZ takes every one.
    found = driven(tmp_path, seed, range(TRIALS - 3) if FUZZ else (5,))
    assert found["kills"] > 10
    assert found["different"] == []


def test_what_an_unknown_process_left_running_changes_no_draw(tmp_path):
    import optuna

    whole = nsga(tmp_path / "a", **SEARCH).run(12)
    nsga(tmp_path / "b", **SEARCH).run(5)
    study = optuna.load_study(study_name="sub-models", storage=f"sqlite:///{tmp_path / 'b' / 'study.db'}")
    study.ask()  # killed before it said whose it is
    elsewhere = study.ask()
    elsewhere.set_user_attr("owner", {**Owner.mine().to_json(), "host": "another machine"})
    reused = study.ask()
    reused.set_user_attr("owner", {**Owner.mine().to_json(), "pid": os.getppid(), "start": "1"})
    assert seen(nsga(tmp_path / "b", **SEARCH).run(12)) == seen(whole)
    states = {trial.number: trial.state.name for trial in study.get_trials()}
    assert states[reused.number] == "FAIL"


def test_what_a_living_process_has_taken_is_not_taken_again(tmp_path):
    import optuna

    nsga(tmp_path, **SEARCH).run(5)
    after = [p.sub_model for p in nsga(tmp_path / "b", **SEARCH).run(6)][5]
    study = optuna.load_study(study_name="sub-models", storage=f"sqlite:///{tmp_path / 'study.db'}")
    integers = {name: optuna.distributions.IntDistribution(*both) for name, both in SMALL.ranges().items()}
    taken = study.ask({**integers})
    parent = Owner.mine().to_json()
    stat = Path(f"/proc/{os.getppid()}/stat").read_text()
    taken.set_user_attr("owner", {**parent, "pid": os.getppid(), "start": stat.rsplit(")", 1)[1].split()[19]})
    found = [p.sub_model for p in nsga(tmp_path, **SEARCH).run(8)]
    assert after not in found[:5]
    assert SMALL.decode(taken.params) not in found
    assert study.get_trials()[taken.number].state.name == "RUNNING"


def broken(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "content",
    [b"garbage" * 1000, b"SQLite format 3\x00" + b"\xff" * 4096, b"\x00" * 8192],
    ids=["text", "half", "zeros"],
)
def test_a_file_that_is_no_study_is_one_line(tmp_path, content):
    broken(tmp_path / "study.db", content)
    with pytest.raises(UserError, match="study.db: is no study of a search .*; move it away or name another") as found:
        nsga(tmp_path).run(2)
    assert found.value.exit_code == 2
    assert "\n" not in str(found.value)


def test_a_study_cut_short_or_with_other_trials_is_one_line(tmp_path):
    import optuna

    nsga(tmp_path / "a").run(3)
    content = (tmp_path / "a" / "study.db").read_bytes()
    broken(tmp_path / "b" / "study.db", content[: len(content) // 2])
    with pytest.raises(UserError, match="is no study of a search"):
        nsga(tmp_path / "b").run(4)
    study = optuna.load_study(study_name="sub-models", storage=f"sqlite:///{tmp_path / 'a' / 'study.db'}")
    study.add_trial(optuna.trial.create_trial(values=[1.0, 2.0], params={}, distributions={}))
    with pytest.raises(UserError, match="trial 3: evaluated is missing"):
        nsga(tmp_path / "a").run(4)


def test_a_directory_in_the_place_of_a_study_or_a_file_above_it(tmp_path):
    (tmp_path / "a" / "study.db").mkdir(parents=True)
    with pytest.raises(UserError, match="is no study, which is a file"):
        nsga(tmp_path / "a").run(2)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunError, match="Not a directory|File exists"):
        nsga(tmp_path / "file" / "b").run(2)
    with pytest.raises(RunError, match="File name too long"):
        nsga(tmp_path / ("x" * 3600)).run(2)


@pytest.mark.parametrize("name", ["what?", "100%20", "a#b", "a b;c", "ü"])
def test_a_directory_of_any_name_holds_its_study(tmp_path, name):
    nsga(tmp_path / name).run(2)
    assert (tmp_path / name / "study.db").stat().st_size > 0


def test_a_full_disk_is_one_line_and_the_search_goes_on_afterwards(tmp_path):
    whole = seen(nsga(tmp_path / "a", **SEARCH).run(12))
    nsga(tmp_path / "b", **SEARCH).run(4)
    size = max(path.stat().st_size for path in (tmp_path / "b").iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        with pytest.raises(RunError, match="study.db: cannot be written .*free some space") as found:
            nsga(tmp_path / "b", **SEARCH).run(12)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert found.value.exit_code == 1
    assert seen(nsga(tmp_path / "b", **SEARCH).run(12)) == whole


def test_a_study_that_another_process_keeps_locked_is_one_line(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("ofa_bert.files.studies._WAITED", 0.2)
    nsga(tmp_path).run(2)
    other = sqlite3.connect(tmp_path / "study.db")
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RunError, match="another process has been writing it"):
            nsga(tmp_path).run(4)
    finally:
        other.close()


def test_an_error_of_the_evaluation_stays_what_it_is(tmp_path):
    def fails(sub_model):
        raise ZeroDivisionError("ours")

    with pytest.raises(ZeroDivisionError, match="ours"):
        nsga(tmp_path, evaluate=fails).run(2)
