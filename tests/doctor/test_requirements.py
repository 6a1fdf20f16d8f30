"""Versions against what setup.py declares, from the metadata that pip leaves."""

import pytest

from ofa_bert.doctor.parts import requirements

OURS = (
    "Requires-Dist: numpy>=1.23",
    'Requires-Dist: onnxruntime>=1.20; extra == "runtime"',
    'Requires-Dist: pyarrow<20; extra == "cpu"',
    'Requires-Dist: pyarrow<20; extra == "gpu"',
    'Requires-Dist: paddlepaddle==2.6.2; extra == "cpu"',
    'Requires-Dist: paddle2onnx<2; extra == "cpu"',
    'Requires-Dist: paddlepaddle<3.4,>=3.3; extra == "paddle3"',
    'Requires-Dist: paddle2onnx<2.2,>=2.1; extra == "paddle3"',
    'Requires-Dist: hypothesis<1; extra == "test"',
)


@pytest.fixture
def installed(stubs, monkeypatch):
    """Only the distributions that a test names, beside ofa_bert and what this compares with."""
    versions = {}
    real = requirements.metadata.version
    hidden = {"numpy", "onnxruntime", "pyarrow", "paddlepaddle", "paddlepaddle-gpu", "paddle2onnx", "hypothesis"}

    def version(name):
        if name in hidden:
            if name not in versions:
                raise requirements.metadata.PackageNotFoundError(name)
            return versions[name]
        return real(name)

    monkeypatch.setattr(requirements.metadata, "version", version)
    stubs.distribution("ofa_bert", "9.9", "Requires-Python: <3.13,>=3.10", *OURS)
    return versions


def declared(visit):
    return requirements.declared("versions", visit)


def test_what_fits(visit, installed):
    installed.update(numpy="1.26.4", onnxruntime="1.31", paddlepaddle="2.6.2", paddle2onnx="1.3.1", pyarrow="19.0")
    found = declared(visit)
    assert (found.state, found.said) == ("works", "5 packages as setup.py wants them")


def test_a_wrong_version_is_named_with_what_to_type(visit, installed):
    installed.update(numpy="1.26.4", paddlepaddle="2.6.2", pyarrow="24.0.0")
    found = declared(visit)
    assert (found.state, found.said) == ("broken", "pyarrow 24.0.0, wanted <20")
    assert found.cure == 'pip install "pyarrow<20"'


def test_each_paddle_wants_its_own_converter(visit, installed):
    installed.update(paddlepaddle="3.3.1", paddle2onnx="1.3.1")
    assert declared(visit).facts["wrong"] == ["paddle2onnx"]
    installed["paddle2onnx"] = "2.1.0"
    assert declared(visit).state == "works"
    installed["paddlepaddle"] = "2.6.2"
    assert declared(visit).facts["wrong"] == ["paddle2onnx"]


def test_what_only_training_wants_is_not_asked_of_a_runtime_install(visit, installed):
    installed.update(numpy="2.3", onnxruntime="1.31", pyarrow="24.0.0", hypothesis="6.0")
    assert declared(visit).said == "2 packages as setup.py wants them"


def test_two_builds_of_paddle(visit, installed):
    installed.update({"paddlepaddle": "2.6.2", "paddlepaddle-gpu": "2.6.2"})
    found = declared(visit)
    assert found.state == "broken"
    assert "paddlepaddle 2.6.2 and paddlepaddle-gpu 2.6.2 overwrite each other" in found.said
    assert found.cure.startswith("pip uninstall paddlepaddle paddlepaddle-gpu")


def test_a_checkout_that_is_not_installed(visit, monkeypatch):
    def requires(name):
        raise requirements.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(requirements.metadata, "requires", requires)
    found = declared(visit)
    assert (found.state, found.said) == ("absent", "not compared: ofa_bert is not installed")


def test_python(visit, installed, monkeypatch):
    assert requirements.python("Python", visit).state == "works"
    monkeypatch.setattr(requirements.platform, "python_version", lambda: "3.14.1")
    found = requirements.python("Python", visit)
    assert found.state == "broken"
    assert found.said.startswith("3.14.1, wanted ")
