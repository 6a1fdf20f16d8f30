"""Whatever a Predictor is given: it works, or one line names the argument and what is allowed."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.handmade_bundle import make_bundle
from ofa_bert.errors import UserError
from ofa_bert.runtime import arguments
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.opening import MOST_THREADS, open_model
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.system import environment


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


NUMBERS = ("threads", "workers", "batch_size", "max_tokens_per_batch")
WORDS = ("backend", "precision", "device", "provider", "exit_mode", "exit_criterion")
OPTIONAL = {"threads", "max_tokens_per_batch", "provider", "profile", "exit_threshold", "exit_mode", "exit_criterion"}
NO_NUMBER = ("4", 2.0, float("nan"), True, [1], {}, b"1", object(), np.ones(3))
NO_WORD = (3, True, b"cpu", ["cpu"], {}, object(), np.array(["cpu", "gpu"]), "", "CPU", "cpu\n", "x" * 500)
WRONG = {
    **dict.fromkeys(NUMBERS, (*NO_NUMBER, -1)),
    **dict.fromkeys(WORDS, NO_WORD),
    "bundle": (3, b"b", ["b"], True, "", "a\0b", object()),
    "profile": ("1 2 3", 5, (1, 2, 3), True),
    "exit_threshold": (True, [0.1], {}, b"0.1", object(), np.ones(2), 1j),
    "timeout": (0, -1, float("nan"), float("inf"), "9", True, [1], 1j),
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]
CASES += [(name, None) for name in WRONG if name not in OPTIONAL]


@pytest.mark.parametrize(
    ("name", "value"), CASES, ids=lambda value: "an object" if type(value) is object else repr(value)[:30]
)
def test_wrong_types_and_values_are_one_line(bundle, name, value):
    with pytest.raises(UserError) as caught:
        Predictor(**{"bundle": bundle, name: value})
    message = str(caught.value)
    assert message.startswith(name)
    assert "must" in message
    assert "\n" not in message
    assert len(message) < 250
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_none_leaves_it_to_the_predictor(bundle, name):
    with Predictor(bundle, **{name: None}) as predictor:
        assert len(predictor.predict(["good"])) == 1


def test_whole_numbers_of_other_libraries_and_large_ones(bundle):
    numbers = {"threads": np.int64(1), "batch_size": np.int32(2), "max_tokens_per_batch": np.uint8(99)}
    with Predictor(Path(bundle), workers=np.int64(1), **numbers) as predictor:
        assert len(predictor.predict(["good", "dull", "a film"])) == 3
    with Predictor(bundle, threads=1, batch_size=10**30, max_tokens_per_batch=10**30, timeout=1e300) as predictor:
        assert len(predictor.predict(["good", "dull", "a film"])) == 3


@pytest.mark.parametrize("given", [{"threads": 10**6}, {"workers": 10**6}, {"threads": MOST_THREADS + 1}])
def test_more_threads_than_a_machine_can_use(bundle, given):
    ((name, value),) = given.items()
    with pytest.raises(UserError, match=f"^{name} {value}: must be at most {MOST_THREADS} on this machine$"):
        Predictor(bundle, **given)
    assert 4 * environment.cores() <= MOST_THREADS


def test_threads_are_counted_in_all_processes_together(bundle):
    with pytest.raises(UserError, match=f"threads {MOST_THREADS}: must be at most {MOST_THREADS // 2} on this"):
        Predictor(bundle, workers=2, threads=MOST_THREADS)


@pytest.mark.parametrize("threads", [0, -3, 10**6, "2", 1.5, True])
def test_opening_a_model_checks_its_threads_too(bundle, threads):
    with pytest.raises(UserError, match="^threads .*must be"):
        open_model(bundle, threads=threads)


@pytest.mark.parametrize("values", [None, "123", (1, 2.5, 3), (1, 2, "3"), {1: 2}, (True, 2, 3)])
def test_a_profile_is_of_whole_numbers(values):
    with pytest.raises(UserError, match="`length` .*: give least, best and most"):
        Profile(length=values)


def test_a_profile_reaches_the_workers(bundle):
    with Predictor(bundle, workers=1, threads=1, profile=Profile()) as predictor:
        assert len(predictor.predict(["good"])) == 1


def test_what_is_shown_is_short_and_in_one_line():
    texts = ("cpu", "a b", "cpu\n", "", " ")
    assert [arguments.shown(text) for text in texts] == ["cpu", "a b", r"'cpu\n'", "''", "' '"]
    assert len(arguments.shown("x" * 10**6)) == 60
    assert "\n" not in arguments.shown(np.zeros((5, 5)))


def in_a_fork(work):
    """What `work` says of itself in a forked process; "hangs" when it says nothing for 20 seconds."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            said = work()
        except UserError as error:
            said = f"{error.exit_code} {error}"
        except BaseException as error:
            said = repr(error)
        os.write(theirs, said.encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said or "hangs"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_forked_process_opens_its_own(bundle, workers):
    texts = ["a good film", "dull"] * 20
    with Predictor(bundle, workers=workers, threads=1) as predictor:
        wanted = predictor.predict(texts)
        said = in_a_fork(lambda: str(predictor.predict(texts)))
        assert said.startswith(f"2 this model was opened in process {os.getpid()}, and this is process ")
        assert said.endswith("; open one in each process")
        assert predictor.predict(texts) == wanted
        # A fork in the middle of a call, when another thread has the lock.
        with predictor._lock:
            assert "was opened in process" in in_a_fork(lambda: str(predictor.predict(texts)))
        assert in_a_fork(lambda: str(predictor.close())) == "None"
        assert predictor.predict(texts) == wanted
    assert sys.exc_info() == (None, None, None)
