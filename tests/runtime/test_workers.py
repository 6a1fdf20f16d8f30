"""Worker processes: every batch exactly once, whatever happens to them; each on cores of its own."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from helpers.paths import ROOT, TESTS
from ofa_bert.errors import RunError, UserError
from ofa_bert.exits.loop import Answers
from ofa_bert.runtime import workers
from ofa_bert.runtime.processes import core_groups
from ofa_bert.runtime.workers import Batch, WorkerPool


def batches(count, rows=2, length=3):
    return [Batch(key, np.full((rows, length), key + 1), np.zeros((rows, length), np.int64)) for key in range(count)]


def pool(count, opener, **arguments):
    return WorkerPool(count, arguments, threads=1, opener=f"helpers.worker_models:{opener}")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setattr(logging.getLogger("ofa_bert"), "propagate", True)  # a command run before may have set it


@pytest.fixture
def doubling():
    made = pool(2, "doubling", pause=0.01)
    yield made
    made.close()


def assert_all_right(answers, count):
    answers = list(answers)
    assert sorted(key for key, _ in answers) == list(range(count))
    for key, logits in answers:
        np.testing.assert_array_equal(logits, np.full((2, 3), 2.0 * (key + 1)))


def gone(pid, patience=10.0):
    """True once the process has ended (a zombie has, too)."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_every_batch_is_answered_once_and_the_pool_can_be_used_again(doubling):
    for count in (25, 1, 0, 7):
        assert_all_right(doubling.run(batches(count)), count)


def test_both_workers_get_work_even_when_there_is_little():
    with_pids = pool(2, "telling")
    answers = [answer for _, answer in with_pids.run(batches(2))]
    assert {answer["pid"] for answer in answers} == set(with_pids.pids)
    with_pids.close()


def test_batches_are_read_as_they_are_needed(doubling):
    taken = []

    def source():
        for batch in batches(20):
            taken.append(batch.key)
            yield batch

    answers = doubling.run(source())
    next(answers)
    assert len(taken) <= 2 * workers.AHEAD + 2
    assert len(list(answers)) == 19


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be set here")
def test_cores_and_threads_are_set_before_libraries_load():
    count = min(2, len(os.sched_getaffinity(0)))
    made = pool(count, "telling")
    told = {}
    while len(told) < count:
        told.update((answer["pid"], answer) for _, answer in made.run(batches(4)))
    for answer in told.values():
        assert answer["threads"] == [1, 1, 1, 1]
        assert len(answer["cores"]) == 1
        assert answer["all_threads_on"] == [tuple(answer["cores"])]  # also those that NumPy made when it was imported
    assert len({tuple(answer["cores"]) for answer in told.values()}) == count
    made.close()


@pytest.mark.parametrize("victims", [1, 2])
def test_what_a_killed_worker_had_is_done_again(doubling, victims, caplog):
    before = doubling.pids
    answers = doubling.run(batches(30))
    found = [next(answers) for _ in range(3)]
    for pid in before[:victims]:
        os.kill(pid, signal.SIGKILL)
    assert_all_right([*found, *answers], 30)
    assert_all_right(doubling.run(batches(5)), 5)
    assert len(set(doubling.pids) & set(before)) == 2 - victims
    assert "was ended by SIGKILL" in caplog.text
    assert "done again" in caplog.text


def test_a_worker_killed_between_two_runs_is_replaced(doubling):
    assert_all_right(doubling.run(batches(3)), 3)
    for pid in doubling.pids:
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    assert_all_right(doubling.run(batches(8)), 8)


def test_a_batch_that_killed_its_worker_once_is_done_by_the_next(tmp_path):
    made = pool(1, "fragile", poison=4, marks=str(tmp_path))
    assert_all_right(made.run(batches(9)), 9)
    assert (tmp_path / "killed").exists()
    made.close()


def test_a_batch_that_kills_every_worker_ends_the_run():
    made = pool(2, "fragile", poison=4)
    with pytest.raises(RunError, match=r"a batch of 2 x 3 tokens ended 3 worker processes, .*SIGKILL.* `batch_size`"):
        list(made.run(batches(9)))
    assert len(list(made.run(batches(3)))) == 3  # the pool itself is whole
    made.close()


@pytest.fixture
def patient():
    """Two workers that may take three seconds for a batch."""
    made = WorkerPool(2, {"pause": 0.01}, 1, "helpers.worker_models:doubling", timeout=3.0)
    yield made
    made.close()


def test_a_stopped_worker_is_waited_for_and_then_replaced(patient, caplog):
    before = patient.pids
    answers = patient.run(batches(30))
    found = [next(answers) for _ in range(3)]
    os.kill(before[0], signal.SIGSTOP)
    started = time.monotonic()
    assert_all_right([*found, *answers], 30)
    assert 2.5 < time.monotonic() - started < 60
    assert gone(before[0])
    assert before[1] in patient.pids
    assert "was ended, for it gave no answer in 3 seconds (timeout 3); 2 batch(es) are done again" in caplog.text
    assert_all_right(patient.run(batches(5)), 5)


def test_a_worker_that_goes_on_in_time_is_kept(patient):
    before = patient.pids
    answers = patient.run(batches(30))
    found = [next(answers) for _ in range(3)]
    os.kill(before[0], signal.SIGSTOP)
    threading.Timer(0.5, os.kill, (before[0], signal.SIGCONT)).start()
    assert_all_right([*found, *answers], 30)
    assert patient.pids == before


@pytest.mark.slow
def test_a_stopped_worker_does_not_lock_up_who_sends_to_it(patient):
    """Batches that are larger than what the system holds between two processes."""
    large = [Batch(key, np.full((2, 200_000), key), np.zeros((2, 200_000), np.int64)) for key in range(6)]
    before = patient.pids
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    answers = dict(patient.run(large))
    assert sorted(answers) == list(range(6))
    assert all((logits == 2 * key).all() for key, logits in answers.items())
    assert not set(before) & set(patient.pids)


@pytest.mark.slow
def test_half_an_answer_is_no_answer():
    """A worker that is stopped while it writes one, which nobody reads at that time."""
    made = WorkerPool(1, {"wide": 40}, 1, "helpers.worker_models:doubling", timeout=3.0)
    large = [Batch(0, np.full((64, 1024), 7), np.zeros((64, 1024), np.int64))]
    made._hand_out(1, iter(large), workers.deque(), workers.Counter())  # an answer of 20 MB
    made._run_number = 1
    time.sleep(2)  # it has begun to write
    (first,) = made.pids
    os.kill(first, signal.SIGSTOP)
    again = workers.deque()
    assert made._receive(workers.Counter(), again) == []
    assert [batch.key for batch in again] == [0]
    assert gone(first)
    ((key, logits),) = made.run(again)
    assert key == 0
    assert (logits == 14).all()
    made.close()


def test_a_worker_that_never_answers_a_batch_ends_the_run():
    made = WorkerPool(1, {"pause": 60.0}, 1, "helpers.worker_models:doubling", timeout=0.3)
    with pytest.raises(RunError, match=r"ended 3 worker processes, .*no answer in 0.3 seconds \(timeout 0.3\)"):
        list(made.run(batches(1)))
    made.close()


def test_a_large_batch_may_take_longer(monkeypatch):
    monkeypatch.setattr(workers, "TOKENS", 1)
    made = WorkerPool(1, {"pause": 1.5}, 1, "helpers.worker_models:doubling", timeout=0.5)
    assert_all_right(made.run(batches(2)), 2)  # six tokens: three seconds
    made.close()


@pytest.mark.slow
def test_a_worker_that_is_stopped_while_it_loads(monkeypatch):
    monkeypatch.setattr(workers, "LOADING", 2)
    with pytest.raises(RunError, match="end while they load the model: was ended, for it gave no answer in 2 seconds"):
        WorkerPool(1, {}, 1, "helpers.worker_models:stopping", timeout=1.0)


def test_answers_with_layers_travel_as_they_are():
    made = pool(1, "layered")
    for key, found in made.run(batches(3)):
        assert isinstance(found, Answers)
        np.testing.assert_array_equal(found.logits, np.full((2, 3), 2.0 * (key + 1)))
        assert found.layers.tolist() == [0, 1]
        assert found.layers.dtype == np.int64
    made.close()


def test_a_forked_process_has_no_pool(doubling):
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            list(doubling.run(batches(3)))
        except UserError as error:
            os.write(theirs, str(error).encode())
        doubling.close()
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        assert f"this model was opened in process {os.getpid()}, and this is process {child}" in pipe.read()
    os.waitpid(child, 0)
    assert_all_right(doubling.run(batches(6)), 6)


def test_an_error_of_the_model_is_one_line():
    made = pool(1, "failing")
    with pytest.raises(RunError, match=r"batch 2, length 3: position 600 is out of range$"):
        list(made.run(batches(1)))
    made.close()


@pytest.mark.parametrize(("code", "error"), [(2, UserError), (1, RunError)])
def test_a_refusal_while_loading_comes_through(code, error):
    with pytest.raises(UserError, match="no such file: model.onnx; export it") as caught:
        pool(2, "refusing", code=code)
    assert type(caught.value) is error


def test_workers_that_crash_while_loading_are_not_started_for_ever():
    with pytest.raises(RunError, match="end while they load the model: was ended by SIGABRT"):
        pool(1, "crashing")


def test_workers_that_cannot_be_replaced_end_the_run_and_not_the_pool(tmp_path):
    made = pool(1, "opening_once", marks=str(tmp_path))
    os.kill(made.pids[0], signal.SIGKILL)
    with pytest.raises(RunError, match="end while they load the model"):
        list(made.run(batches(3)))
    for _ in range(20):
        (tmp_path / "opened").unlink(missing_ok=True)
        try:
            assert_all_right(made.run(batches(3)), 3)
            break
        except RunError:
            continue  # the one that was being started when the mark was still there
    else:
        pytest.fail("the pool did not recover")
    made.close()


def test_a_system_without_room_for_a_process(monkeypatch):
    def refuse(*_, **__):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(RunError, match="no worker process can be started: Resource temporarily unavailable"):
        pool(2, "doubling")


def test_answers_to_an_abandoned_run_are_not_mistaken_for_new_ones(doubling):
    old = doubling.run(Batch(key, np.full((2, 3), 99), np.zeros((2, 3), np.int64)) for key in range(20))
    next(old)
    assert_all_right(doubling.run(batches(12)), 12)


def test_large_batches_and_large_answers_do_not_lock_up():
    made = pool(1, "doubling", wide=40)
    large = [Batch(key, np.full((64, 1024), key), np.zeros((64, 1024), np.int64)) for key in range(6)]
    for key, logits in made.run(large):
        assert logits.shape == (64, 40960)
        assert (logits == 2 * key).all()
    made.close()


def test_close_ends_the_processes_and_can_be_repeated():
    made = pool(2, "doubling", pause=30)
    pids = made.pids
    next_one = made.run(batches(4))
    started = time.monotonic()
    made._hand_out(1, iter(batches(4)), workers.deque(), workers.Counter())  # both are busy for half a minute
    made.close()
    made.close()
    assert time.monotonic() - started < 15
    assert all(gone(pid) for pid in pids)
    with pytest.raises(RuntimeError, match="closed"):
        list(next_one)


def test_workers_end_with_the_process_that_started_them():
    program = (
        "import sys, time; sys.path[:0] = sys.argv[1:]\n"
        "from ofa_bert.runtime.workers import WorkerPool\n"
        "pool = WorkerPool(2, {}, threads=1, opener='helpers.worker_models:doubling')\n"
        "print(*pool.pids, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(TESTS), str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pids = list(map(int, parent.stdout.readline().split()))
        parent.kill()
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


def topology(tmp_path, places):
    for cpu, (package, core) in places.items():
        folder = tmp_path / f"cpu{cpu}" / "topology"
        folder.mkdir(parents=True)
        (folder / "physical_package_id").write_text(f"{package}\n")
        (folder / "core_id").write_text(f"{core}\n")
    return str(tmp_path)


# Two packages of two cores of two hardware threads, numbered as Linux does: siblings lie far apart.
MACHINE = {0: (0, 0), 1: (0, 1), 2: (1, 0), 3: (1, 1), 4: (0, 0), 5: (0, 1), 6: (1, 0), 7: (1, 1)}


@pytest.mark.parametrize(
    ("count", "threads", "groups"),
    [
        (4, 1, [[0], [1], [2], [3]]),  # one per core, no siblings
        (2, 2, [[0, 1], [2, 3]]),  # a package each
        (4, 2, [[0, 4], [1, 5], [2, 6], [3, 7]]),  # both threads of a core together
        (2, 3, [[0, 1, 4], [2, 5, 6]]),
        (8, 1, [[0], [4], [1], [5], [2], [6], [3], [7]]),
        (3, 4, [[0, 1, 4, 5], [2, 3, 6, 7], [0, 1, 4, 5]]),  # more than there are: shared
    ],
)
def test_core_groups(count, threads, groups, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(MACHINE))
    assert core_groups(count, threads, topology(tmp_path, MACHINE)) == groups
    assert ("share 8 cores" in caplog.text) == (count * threads > 8)


def test_core_groups_without_a_topology_and_without_affinity(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 9})
    assert core_groups(2, 1, str(tmp_path)) == [[3], [5]]
    monkeypatch.delattr(os, "sched_setaffinity")
    assert core_groups(2, 1) == [[], []]
