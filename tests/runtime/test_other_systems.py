"""A runtime install on a system that is not Linux: without its modules, its calls and its files a bundle answers."""

import json
import subprocess
import sys

import pytest

from helpers.handmade_bundle import make_bundle
from helpers.paths import ROOT
from ofa_bert.runtime.predictor import Predictor

TEXTS = ["a good film", "dull , very dull", ""]
# What only Unix, or only Linux, has of the standard library.
MODULES = ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty")
CALLS = (
    "O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "fork", "geteuid", "getuid", "killpg", "mkfifo", "pread", "pwrite",
    "register_at_fork", "sched_getaffinity", "sched_setaffinity", "setsid", "statvfs",
)  # fmt: skip
SIGNALS = ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "SIGWINCH")

PROGRAM = """
import builtins, importlib.abc, json, os, signal, sys
# A system's own standard library knows its system.
import tempfile, shutil, subprocess, random, multiprocessing.connection
import numpy, onnxruntime, tokenizers
modules, calls, signals = json.loads(sys.argv[2])
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in modules:
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
for name in modules:
    sys.modules.pop(name, None)
for place, names in ((os, calls), (signal, signals)):
    for name in names:
        if hasattr(place, name):
            delattr(place, name)
there = builtins.open
def elsewhere(path, *more, **named):
    if isinstance(path, str) and path.startswith(("/proc", "/sys")):
        raise FileNotFoundError(path)
    return there(path, *more, **named)
builtins.open = elsewhere
from ofa_bert.__main__ import main
from ofa_bert.runtime.predictor import Predictor
with Predictor(sys.argv[1], threads=1) as predictor:
    print(json.dumps(predictor.logits(json.loads(sys.argv[3])).tolist()))
bare = {name for name in sys.modules if name in modules}
assert not bare, bare
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b", columns=("sentence",))


def run(bundle, modules=MODULES, calls=CALLS, signals=SIGNALS):
    words = [str(bundle), json.dumps([modules, calls, signals]), json.dumps(TEXTS)]
    return subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=ROOT, capture_output=True, text=True)


def test_a_bundle_answers_without_what_linux_alone_has(bundle):
    with Predictor(bundle, threads=1) as predictor:
        wanted = predictor.logits(TEXTS).tolist()
    done = run(bundle)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == wanted


def test_what_is_needed_would_be_found_out(bundle):
    done = run(bundle, modules=(*MODULES, "hashlib"))
    assert "blocked: hashlib" in done.stderr
