"""Libraries that are missing, that do not load, that crash, that hang, and that answer."""

import pytest

from ofa_bert.doctor.parts import libraries

GPU_PADDLE = """
__version__ = "2.6.2"
class version:
    cuda = staticmethod(lambda: "11.8")
    cudnn = staticmethod(lambda: "8.6.0")
class device:
    class cuda:
        device_count = staticmethod(lambda: 2)
def is_compiled_with_cuda(): return True
class Four:
    def cpu(self): return self
    def sum(self): return {sum}
def ones(shape, dtype): return Four()
"""


def test_a_package_that_is_not_there(visit, stubs):
    stubs.hide("onnxruntime")
    found = libraries.loads("onnxruntime", "ONNX Runtime", visit)
    assert (found.state, found.said) == ("absent", "not installed")


def test_an_empty_folder_is_no_package(visit, stubs):
    """What an uninstalled Paddle can leave behind."""
    stubs.hide("paddle")
    (stubs.directory / "paddle").mkdir()
    assert libraries.loads("paddle", "Paddle", visit).state == "absent"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ImportError('libfoo.so.3: cannot open shared object file')", "libfoo.so.3: cannot open shared object"),
        ("import no_such_thing", "the package 'no_such_thing' that it needs is not"),
        ("raise RuntimeError('module compiled against ABI version 0x2')", "module compiled against ABI version 0x2"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "its process was ended by SIGSEGV"),
        ("import os; os._exit(3)", "it failed without a word"),
        ("import os; os._exit(0)", "it failed without a word"),
    ],
)
def test_a_package_that_does_not_load(visit, stubs, code, said):
    stubs.package("onnxruntime", code)
    found = libraries.loads("onnxruntime", "ONNX Runtime", visit)
    assert found.state == "broken"
    assert said in found.said
    assert 'pip install ".[runtime]"' in found.cure


def test_a_package_that_hangs_is_ended(visit, stubs, monkeypatch):
    monkeypatch.setattr(libraries, "_SECONDS", 2.0)
    stubs.package("openvino", "import time; time.sleep(100)")
    found = libraries.loads("openvino", "OpenVINO", visit)
    assert (found.state, found.said) == ("broken", "does not load: it was ended after 2 s without an answer")


def test_what_a_library_says_of_itself(visit, stubs):
    stubs.package(
        "onnxruntime",
        "import atexit; atexit.register(print, 'bye')\n__version__ = '9.9'\n"
        "def get_available_providers(): return ['CUDAExecutionProvider', 'CPUExecutionProvider']",
    )
    found = libraries.loads("onnxruntime", "ONNX Runtime", visit)
    assert found.state == "works"
    assert found.said.endswith(", for CUDA, CPU")
    assert found.facts["devices"] == ["CUDA", "CPU"]


def test_a_gpu_build_of_paddle(visit, stubs):
    stubs.package("paddle", GPU_PADDLE.format(sum=4.0))
    found = libraries.loads("paddle", "Paddle", visit)
    assert found.said == "2.6.2, built for GPUs (CUDA 11.8, cuDNN 8.6.0)"
    assert (found.facts["gpu_build"], found.facts["gpus"]) == (True, 2)


def test_a_paddle_that_cannot_add(visit, stubs):
    stubs.package("paddle", GPU_PADDLE.format(sum=3.0))
    found = libraries.loads("paddle", "Paddle", visit)
    assert (found.state, found.said) == ("broken", "does not load: the sum of four ones is 3.0")


@pytest.mark.parametrize("package", ["paddlenlp", "paddleslim"])
@pytest.mark.parametrize(("state", "why"), [("broken", "not tried: Paddle is broken"), ("absent", "needs Paddle")])
def test_what_stands_on_paddle_is_not_tried_without_it(visit, package, state, why):
    found = libraries.loads(package, package, visit.say("Paddle", state))
    assert (found.state, found.said) == ("absent", why)
