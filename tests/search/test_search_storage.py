"""A search in a database that several processes share: the trials are theirs together, the winner is one."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from helpers.paths import ROOT, TESTS
from helpers.searching import nsga, seen
from ofa_bert.errors import UserError
from ofa_bert.files.studies import Database
from ofa_bert.options import to_json
from ofa_bert.search.front import pareto_front
from ofa_bert.system.owner import Owner

optuna = pytest.importorskip("optuna")

PROCESS = """
import json, sys, time
from helpers.searching import evaluate, nsga, seen
from ofa_bert.files.studies import Database
calls = []
def slow(sub_model):
    calls.append(sub_model)
    time.sleep(0.02)
    return evaluate(sub_model)
found = nsga(evaluate=slow, storage=Database(sys.argv[1]), settings={"of": "the test"}).run(int(sys.argv[2]))
print(json.dumps([len(calls), [[repr(sub_model), value, cost] for sub_model, value, cost in seen(found)]]))
"""


def together(address, count, trials):
    """What each of several processes evaluated and found."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(TESTS), *sys.path[1:]))}
    command = [sys.executable, "-c", PROCESS, address, str(trials)]
    running = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    found = []
    for process in running:
        out, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
        found.append(json.loads(out))
    return found


def assert_shared(address):
    (first_calls, first), (second_calls, second) = together(address, 2, 24)
    assert first == second  # the same trials, so the same front and the same winner
    assert len(first) == 24 >= first_calls + second_calls  # none too many; what is known is not evaluated again
    assert min(first_calls, second_calls) >= 3
    ((calls, again),) = together(address, 1, 24)
    assert (calls, again) == (0, first)


def binaries():
    """The directory of PostgreSQL's server, as Debian lays it out, or None."""
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return Path(found).parent if found else places[-1].parent if places else None


def driver():
    """The one that is installed, as an address names it; skips where there is none."""
    found = next((name for name in ("psycopg", "psycopg2") if importlib.util.find_spec(name)), None)
    if found is None:
        pytest.skip("needs psycopg or psycopg2")
    return found


@pytest.fixture(scope="module")
def server():
    """The address of a PostgreSQL server that runs as long as the tests here do."""
    name, programs = driver(), binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian's package postgresql)")
    as_user = []
    if os.geteuid() == 0:  # the server does not run as root
        if shutil.which("runuser") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    home = Path(tempfile.mkdtemp(prefix="ofa-postgres-"))  # not in pytest's own, which is closed to others
    if as_user:
        shutil.chown(home, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*words):
        # Into a file: the server keeps what it was given, and a pipe would never end.
        with open(home.with_suffix(".said"), "w+") as said:
            done = subprocess.run([*as_user, *map(str, words)], stdout=said, stderr=said, cwd="/")
            said.seek(0)
            assert done.returncode == 0, said.read()

    run(programs / "initdb", "-D", home / "data", "-U", "tester", "-A", "trust", "-E", "UTF8")
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
    run(programs / "pg_ctl", "-D", home / "data", "-o", settings, "-l", home / "log", "-w", "start")
    yield f"postgresql+{name}://tester:secret@127.0.0.1:{port}/postgres"
    run(programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
    shutil.rmtree(home)
    home.with_suffix(".said").unlink()


def test_two_processes_share_a_postgresql_server(server):
    assert_shared(server)


@pytest.mark.slow
def test_the_trials_of_one_process_are_those_of_a_file(server, tmp_path):
    in_file = nsga(tmp_path, settings={"of": "one"}).run(25)
    assert seen(nsga(storage=Database(server), settings={"of": "one"}).run(25)) == seen(in_file)
    winners = [
        pareto_front(found) for found in (in_file, nsga(storage=Database(server), settings={"of": "one"}).run(25))
    ]
    assert seen(winners[0]) == seen(winners[1])


def test_searches_lie_beside_each_other(server):
    calls = []
    for number in range(2):
        nsga(None, calls, storage=Database(server), settings={"number": number}).run(6)
    assert len(calls) == 12
    nsga(None, calls, storage=Database(server), settings={"number": 1}).run(8)
    assert len(calls) == 14


def begun_elsewhere(address, **changes):
    """A trial of a process on another machine, which is at it."""
    study = nsga(storage=Database(address))._study(optuna)
    trial = study.ask()
    owner = {**Owner.mine().to_json(), "pid": 1, **changes}
    study._storage.set_trial_user_attr(trial._trial_id, "owner", owner)
    return trial.number


def waited(calls, count):
    """Whether two seconds have passed since there were so many calls."""
    asked = []

    def stop():
        if len(calls) >= count:
            asked.append(time.monotonic())
        return bool(asked) and asked[-1] - asked[0] > 2

    return stop


def test_what_another_machine_is_at_is_left_to_it_until_it_counts_as_lost(tmp_path, monkeypatch):
    from ofa_bert.search import nsga2

    address = f"sqlite:///{tmp_path / 'study.db'}"
    number = begun_elsewhere(address, host="elsewhere", boot="another")
    calls = []
    found = nsga(None, calls, storage=Database(address)).run(5, waited(calls, 4))
    assert len(found) == 4  # the fifth is the other's
    monkeypatch.setattr(nsga2, "_LOST", 0.0)
    assert len(nsga(storage=Database(address)).run(5)) == 5
    study = optuna.load_study(study_name=nsga(storage=Database(address))._name(), storage=address)
    assert study.trials[number].state.name == "RUNNING"


def test_a_machine_of_the_same_name_is_not_taken_for_this_one(tmp_path):
    address = f"sqlite:///{tmp_path / 'study.db'}"
    number = begun_elsewhere(address, boot="another")
    calls = []
    assert len(nsga(None, calls, storage=Database(address)).run(2, waited(calls, 1))) == 1
    study = optuna.load_study(study_name=nsga(storage=Database(address))._name(), storage=address)
    assert study.trials[number].state.name == "RUNNING"


def test_a_password_is_shown_nowhere():
    assert str(Database("postgresql://me:secret@host:5/name")) == "postgresql://me@host:5/name"
    assert str(Database("postgresql://me:a@b@host/name")) == "postgresql://me@host/name"
    assert str(Database("sqlite:////tmp/study.db")) == "sqlite:////tmp/study.db"
    with pytest.raises(UserError) as error:
        nsga(storage=Database("postgresql+nothing://me:secret@127.0.0.1:1/name")).run(1)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("nonsense://host/name", "`storage` nonsense://host/name: is no address of a database"),
        ("sqlite:////nowhere/at/all/study.db", "cannot be used .*unable to open database file"),
        ("mysql+nodriver://host/name", "mysql\\+nodriver://host/name: "),
    ],
)
def test_a_database_that_cannot_be_used_is_one_line(address, words):
    with pytest.raises(UserError, match=words) as error:
        nsga(storage=Database(address)).run(1)
    assert "\n" not in str(error.value)


def test_a_server_that_does_not_answer_is_one_line():
    scheme = f"postgresql+{driver()}"
    with pytest.raises(UserError, match="me@127.0.0.1:1/name: cannot be used .*refused") as error:
        nsga(storage=Database(f"{scheme}://me:secret@127.0.0.1:1/name")).run(1)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_the_command_line_names_a_wrong_address():
    from ofa_bert import SearchJob, make_job

    given = {"model": "m", "output_dir": "o", "max_params": 0.5}
    with pytest.raises(UserError, match="`storage` here: is no address of a database; one is like postgresql://"):
        make_job(SearchJob, **given, storage="here")
    with pytest.raises(UserError, match="`storage`: is about `algorithm` nsga2"):
        make_job(SearchJob, **given, storage="sqlite:///x", algorithm="fptas")
    assert to_json(make_job(SearchJob, **given, storage="sqlite:///x"))["storage"] == "sqlite:///x"
