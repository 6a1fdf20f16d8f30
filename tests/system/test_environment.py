"""environment.py, in fresh processes: what it sets only counts before Paddle loads."""

import importlib.util
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT
from ofa_bert.errors import UserError
from ofa_bert.models import device as paddle_device
from ofa_bert.system import environment, machine, packages

SETTINGS = ("FLAGS_use_stride_kernel", "MKL_DEBUG_CPU_TYPE", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "GLOG_minloglevel")
MALLOC = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_")
OURS = ("OFA_BERT_ENVIRONMENT", "OFA_BERT_OUR_THREADS", "PADDLE_LOCAL_SIZE", "PADDLE_TRAINERS_NUM")

# The threads that Paddle's own MKL would use for a large product now.
MKL_THREADS = """
import ctypes, pathlib
library = next(pathlib.Path(paddle.__file__).parent.glob("libs/libmklml_intel.so"))
mkl_threads = ctypes.CDLL(str(library)).MKL_Get_Max_Threads()
"""


def clean_environ(**extra):
    environ = {k: v for k, v in os.environ.items() if k not in (*SETTINGS, *OURS, *MALLOC)}
    return {**environ, "PYTHONPATH": str(ROOT), **extra}


def run_python(code, **extra):
    """Runs `code` in a fresh process; returns (exit code, last line of stdout, stderr)."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean_environ(**extra), capture_output=True, text=True, timeout=120)
    return done.returncode, (done.stdout.strip().splitlines() or [""])[-1], done.stderr


def settings_after(environ_before, code="from ofa_bert.system import environment; environment.prepare()"):
    report = f"\nimport os, json; print(json.dumps({{k: os.environ.get(k) for k in {SETTINGS}}}))"
    status, line, stderr = run_python(code + report, **environ_before)
    assert status == 0, stderr
    return json.loads(line)


def write_cpuinfo(path, vendor, flags):
    processor = f"processor\t: 0\nvendor_id\t: {vendor}\nmodel name\t: x: y\nflags\t\t: {flags}\n\n"
    path.write_text(processor * 2)
    return path


AVX2 = "sse avx avx2 fma"
AVX512 = AVX2 + " avx512f avx512dq avx512cd avx512bw avx512vl"


@pytest.mark.parametrize(
    ("vendor", "flags", "expected"),
    [
        ("AuthenticAMD", AVX512, "7"),
        ("AuthenticAMD", AVX2, "5"),  # AVX-512 code would be an illegal instruction here
        ("AuthenticAMD", AVX2 + " avx512f", "5"),
        ("AuthenticAMD", "sse avx", None),
        ("GenuineIntel", AVX512, None),
        ("HygonGenuine", AVX2, "5"),
    ],
)
def test_mkl_path_follows_vendor_and_instructions(tmp_path, vendor, flags, expected):
    environ = {}
    environment._set_mkl_path(environ, write_cpuinfo(tmp_path / "cpuinfo", vendor, flags))
    assert environ.get("MKL_DEBUG_CPU_TYPE") == expected


def test_strided_views_are_off_unless_the_user_says_otherwise():
    environ = {}
    assert environment._set_kernels(environ) == ["FLAGS_use_stride_kernel=0"]
    assert environ == {"FLAGS_use_stride_kernel": "0"}
    environ = {"FLAGS_use_stride_kernel": "1"}
    assert "kept" in environment._set_kernels(environ)[0]
    assert environ["FLAGS_use_stride_kernel"] == "1"


def test_mkl_path_keeps_the_users_choice_and_survives_no_cpuinfo(tmp_path):
    environ = {"MKL_DEBUG_CPU_TYPE": "5"}
    done = environment._set_mkl_path(environ, write_cpuinfo(tmp_path / "cpuinfo", "AuthenticAMD", AVX512))
    assert environ == {"MKL_DEBUG_CPU_TYPE": "5"}
    assert "kept" in done[0]
    environ = {}
    assert environment._set_mkl_path(environ, tmp_path / "absent") == []
    assert environ == {}


@pytest.mark.parametrize(
    ("before", "threads", "expected"),
    [
        ({}, None, "8"),
        ({}, 3, "3"),
        ({"MKL_NUM_THREADS": "5"}, None, "5"),
        ({"MKL_NUM_THREADS": "5"}, 3, "3"),
        ({"OMP_NUM_THREADS": "5"}, None, None),
        ({"OMP_NUM_THREADS": "1"}, None, None),
        ({"PADDLE_LOCAL_SIZE": "2", "PADDLE_TRAINERS_NUM": "4", "OMP_NUM_THREADS": "1"}, None, "4"),
        ({"PADDLE_LOCAL_SIZE": "2", "OMP_NUM_THREADS": "5"}, None, None),
        ({"PADDLE_LOCAL_SIZE": "2", "MKL_NUM_THREADS": "5", "OMP_NUM_THREADS": "1"}, None, "5"),
        ({"PADDLE_LOCAL_SIZE": "16"}, None, "1"),
        ({"PADDLE_TRAINERS_NUM": "2"}, None, "4"),
        ({"PADDLE_LOCAL_SIZE": "1", "OMP_NUM_THREADS": "1"}, None, "8"),
        # a parent that called prepare() started the launcher
        ({"PADDLE_LOCAL_SIZE": "2", "MKL_NUM_THREADS": "8", "OFA_BERT_OUR_THREADS": "8"}, None, "4"),
        # a parent that called prepare(threads=2) and imported Paddle started this process
        ({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "2", "OFA_BERT_OUR_THREADS": "2"}, None, "2"),
    ],
)
def test_threads_of_one_process_among_eight_cores(monkeypatch, before, threads, expected):
    monkeypatch.setattr(environment, "cores", lambda: 8)
    environ = dict(before)
    environment._set_threads(environ, threads)
    assert environ.get("MKL_NUM_THREADS") == expected
    assert environ.get("OMP_NUM_THREADS") == before.get("OMP_NUM_THREADS")


@pytest.mark.parametrize(("text", "most"), [("max 100000", 1 << 20), ("150000 100000", 1), ("5000 100000", 1)])
def test_cores_respect_a_containers_quota(tmp_path, text, most):
    unlimited = environment.cores(tmp_path / "absent")
    (tmp_path / "cpu.max").write_text(text)
    assert unlimited >= 1
    assert environment.cores(tmp_path / "cpu.max") == min(unlimited, most)


def test_prepare_acts_once_and_imports_neither_paddle_nor_numpy():
    code = """
import sys, os, logging
from ofa_bert.system import environment
first = environment.prepare()
os.environ.pop("MKL_NUM_THREADS")
filters = len(logging.getLogger("PaddleNLP").filters)
assert environment.prepare(threads=1) is first and len(first) > 1
assert "MKL_NUM_THREADS" not in os.environ and len(logging.getLogger("PaddleNLP").filters) == filters
print(sorted({"paddle", "paddlenlp", "numpy"} & set(sys.modules)))
"""
    status, line, stderr = run_python(code)
    assert status == 0, stderr
    assert line == "[]", stderr


def test_switched_off_only_zlib_is_cured():
    code = """
from ofa_bert.system import environment
done = environment.prepare()
assert len(done) == 1 and "zlib" in done[0], done
"""
    assert settings_after({"OFA_BERT_ENVIRONMENT": "off"}, code) == dict.fromkeys(SETTINGS)


def test_the_users_settings_are_kept():
    users = dict(zip(SETTINGS, ("1", "4", "3", "2", "0")))
    assert settings_after(users) == users


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    """64 MB, 20 times: only the first costs page faults with the settings, and every one as installed."""
    code = """
import resource
from ofa_bert.system import environment
environment.prepare()
bytearray(64 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    bytearray(64 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = {switch: int(run_python(code, OFA_BERT_ENVIRONMENT=switch)[1]) for switch in ("on", "off")}
    assert faults["on"] < 1000 < faults["off"], faults
    assert int(run_python(code, MALLOC_MMAP_MAX_="65536")[1]) > 1000  # the user's setting stays


PADDLE_THEN_SCIPY = """
import sys, zlib
import paddle
import scipy.stats, scipy.optimize
assert zlib.decompress(zlib.compress(b"ofa" * 1000)) == b"ofa" * 1000
print("whole", paddle.__version__)
"""


@pytest.mark.slow
@pytest.mark.parametrize("switch", ["on", "off"])
def test_newest_scipy_and_zlib_work_after_paddle(switch):
    code = "from ofa_bert.system import environment; environment.prepare()" + PADDLE_THEN_SCIPY
    status, line, stderr = run_python(code, OFA_BERT_ENVIRONMENT=switch)
    assert status == 0, stderr
    assert line.startswith("whole"), stderr


def test_without_the_cure_paddle_2_breaks_zlib():
    """The negative control: if this ever passes uncured, the test above proves nothing."""
    paddle = packages.require("paddle")
    if not paddle.__version__.startswith("2.") or sys.platform != "linux":
        pytest.skip("only libpaddle 2.x on Linux exports an old zlib")
    if "zlib" in sys.builtin_module_names:
        pytest.skip("this Python has its zlib inside, where libpaddle cannot reach it")
    status, _, _ = run_python("import paddle, zlib; zlib.decompress(zlib.compress(b'x'))")
    assert status != 0


@pytest.mark.slow
def test_threads_reach_paddles_mkl():
    code = "from ofa_bert.system import environment; environment.prepare({}); import paddle" + MKL_THREADS
    code += "\npaddle.matmul(paddle.ones([8, 8]), paddle.ones([8, 8]))\nprint(mkl_threads)"
    cores = environment.cores()
    smt = Path("/sys/devices/system/cpu/smt/active")  # MKL counts a core that runs two threads once
    shared = smt.exists() and smt.read_text().strip() == "1"
    for argument, expected in (("threads=1", {1}), ("", {cores, cores // 2} if shared else {cores})):
        status, line, stderr = run_python(code.format(argument))
        assert status == 0, (line, stderr)
        assert int(line) in expected, (line, stderr)
        assert "OMP_NUM_THREADS" not in stderr  # Paddle's warning about threads


@pytest.mark.slow
def test_launched_processes_share_the_cores(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(
        "from ofa_bert.system import environment\nenvironment.prepare()\nimport os, paddle"
        + MKL_THREADS
        + f"\nopen(r'{tmp_path}/' + os.environ['PADDLE_TRAINER_ID'], 'w').write(str(mkl_threads))\n"
    )
    launch = [sys.executable, "-m", "paddle.distributed.launch", "--nproc_per_node", "2"]
    launch += ["--log_dir", str(tmp_path / "log"), str(script)]
    environ = clean_environ(MKL_NUM_THREADS="64", OFA_BERT_OUR_THREADS="64")  # as a prepared parent leaves it
    done = subprocess.run(launch, env=environ, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    expected = str(max(1, environment.cores() // 2))
    assert [(tmp_path / rank).read_text() for rank in "01"] == [expected, expected]


@pytest.mark.slow
def test_importing_everything_is_quiet():
    code = """
from ofa_bert.system import environment, packages
paddle = packages.require("paddle")
from paddlenlp.utils.log import logger
logger.info("chatter")
logger.warning("kept")
"""
    status, _, stderr = run_python(code)
    assert status == 0, stderr
    assert "chatter" not in stderr
    assert "kept" in stderr
    assert not [line for line in stderr.splitlines() if "ccache" in line or "distutils" in line]


def test_require_paddle_says_what_to_install(tmp_path):
    (tmp_path / "paddle").mkdir()  # what an uninstalled Paddle can leave behind
    bare = "import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]\n"
    code = "from ofa_bert.system import packages\ntry: packages.require('paddle')\nexcept Exception as e: "
    code += "print(type(e).__name__, e)"
    for path in (str(ROOT), f"{tmp_path}{os.pathsep}{ROOT}"):
        status, line, stderr = run_python(bare + code, PYTHONPATH=path)
        assert status == 0, stderr
        assert line.startswith("UserError")
        assert '".[cpu]"' in line
        assert '".[gpu]"' in line


def test_paddle_without_paddlenlp_is_one_line(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "paddlenlp" else found(name))
    with pytest.raises(UserError, match=r'PaddleNLP is not installed; .*pip install "\.\[train\]"'):
        paddle_device.select_device("cpu")


def test_select_device():
    assert paddle_device.select_device("cpu") == "cpu"
    present = paddle_device._present_devices(packages.require("paddle"))
    assert present[0] == "cpu"
    with pytest.raises(UserError, match="`device` npu: unknown; allowed: cpu, gpu, xpu"):
        paddle_device.select_device("npu")
    for device in sorted(set(paddle_device.DEVICES) - set(present)):
        with pytest.raises(UserError, match=f"`device` {device}: not available.*available: cpu"):
            paddle_device.select_device(device)
    assert paddle_device.select_device("cpu") == "cpu"


def test_a_card_that_paddle_cannot_use_is_one_clear_line():
    """A stand-in for Paddle 2.6 on a GPU that is newer than its kernels."""

    class NoKernelImage:
        __version__ = "2.6.2"

        class device:  # noqa: N801
            class cuda:  # noqa: N801
                device_count = staticmethod(lambda: 1)

        is_compiled_with_cuda = staticmethod(lambda: True)
        is_compiled_with_xpu = staticmethod(lambda: False)
        set_device = staticmethod(lambda name: None)

        @staticmethod
        def ones(shape):
            raise OSError("C++ Traceback\n(External) CUDA error(209), no kernel image is available.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paddle_device, "require", lambda name: NoKernelImage)
        with pytest.raises(UserError, match=r"cannot compute on it \(.*error\(209\).*Paddle 3.x"):
            paddle_device.select_device("gpu")


@pytest.mark.parametrize(
    ("flags", "has"), [("avx2 avx512f avx512_vnni", True), ("avx_vnni", True), ("avx2 avx512f", False), (None, False)]
)
def test_vnni_is_read_from_what_the_kernel_says(tmp_path, flags, has):
    path = tmp_path / "cpuinfo"
    if flags is not None:
        path.write_text(f"model name : X\nflags : fpu {flags}\n")
    assert machine.has_vnni(str(path)) is has
