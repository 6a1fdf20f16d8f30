"""The doctor as a whole: every part is shown, none takes the others down, and the exit code says what there is."""

import json
import subprocess
import sys

import pytest

from helpers.paths import ROOT
from ofa_bert import __main__ as program
from ofa_bert.doctor import examine, report
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Part
from ofa_bert.doctor.registry import PARTS


def works(name, visit):
    return Finding(name, "works", "1.0", facts={"version": "1.0"})


def absent(name, visit):
    return Finding(name, "absent", "not installed")


def broken(name, visit):
    return Finding(name, "broken", "does not load: libfoo\nis gone", "install foo")


def fails(name, visit):
    raise KeyError("version")


def after(name, visit):
    return Finding(name, "works", f"a is {visit.facts('a')['version']}, b {visit.works('b')}")


@pytest.fixture
def parts(monkeypatch):
    """What `examine` goes through instead of the real parts."""

    def use(*functions):
        made = tuple(Part(letter, function) for letter, function in zip("abcd", functions))
        monkeypatch.setattr(examine.examine, "__defaults__", (False, made))

    return use


def test_lines(parts):
    parts(works, fails, absent, after)
    text = report.as_text(examine.examine())
    assert text.splitlines() == [
        "✔ a  1.0",
        "✘ b  the doctor's own part failed: KeyError: 'version' → report it with the file of --json: this is a fault"
        " of ofa_bert, or one that it should know",
        "– c  not installed",
        "✔ d  a is 1.0, b False",
        "",
        "✔ works, – not there or not needed, ✘ broken",
    ]


def test_a_quick_visit_trains_nothing():
    trained = []
    parts = (Part("a", works), Part("b", lambda name, visit: trained.append(name) or works(name, visit), trains=True))
    assert [found.state for found in examine.examine(True, parts)] == ["works", "absent"]
    assert not trained
    assert [found.state for found in examine.examine(False, parts)] == ["works", "works"]
    assert trained == ["b"]


def test_exit_code_0_where_nothing_is_broken(parts, capsys, tmp_path):
    parts(works, absent)
    assert program.main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 0
    assert "✔ a  1.0" in capsys.readouterr().out
    told = json.loads((tmp_path / "doctor.json").read_text("utf-8"))
    assert told["broken"] == []
    assert told["versions"]["numpy"]
    assert [(found["name"], found["state"]) for found in told["findings"]] == [("a", "works"), ("b", "absent")]
    assert told["findings"][0]["facts"]["seconds"] >= 0


def test_exit_code_1_names_what_is_broken(parts, capsys, tmp_path):
    parts(works, broken, absent)
    assert program.main(["doctor", "--json", str(tmp_path / "doctor.json")]) == 1
    told = capsys.readouterr()
    assert "✘ b  does not load: libfoo?is gone → install foo" in told.out
    assert told.err.splitlines()[-1] == "error: 1 of 3 parts are broken: b"
    assert json.loads((tmp_path / "doctor.json").read_text("utf-8"))["broken"] == ["b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--jsn", "x"], "did you mean --json?"),
        (["--json", "{tmp}"], "is a directory"),
        (["--json", "{tmp}/none/doctor.json"], "its directory is not there"),
        (["--quick", "yes"], "belongs to no flag"),
    ],
)
def test_exit_code_2_for_a_mistake_before_anything_is_tried(parts, capsys, tmp_path, words, said):
    parts(fails)
    assert program.main(["doctor", *(word.format(tmp=tmp_path) for word in words)]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert not told.out


def test_infinity_is_no_json():
    assert Finding("a", "broken", "far", facts={"away": float("inf")}).to_json()["facts"] == {"away": "inf"}


def test_parts_have_names_of_their_own():
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_a_runtime_install_is_well(stubs, capfd):
    """Every real part, where packages of training are not there."""
    stubs.hide("paddle", "paddlenlp", "paddleslim", "onnx", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
    found = {finding.name: finding for finding in examine.examine()}
    assert set(found) == {part.name for part in PARTS}
    assert report.broken(list(found.values())) == []
    for name in ("Paddle", "PaddleNLP", "training, cpu", "two processes, cpu", "export", "paddle_inference, cpu"):
        assert found[name].state == "absent", name
    assert found["onnx_runtime, cpu"].state == "works"


def test_it_is_read_without_paddle():
    code = "import sys, ofa_bert.doctor.examine, ofa_bert.doctor.report; print('paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_this_machine(tmp_path):
    """The command as users type it, with everything that is installed here."""
    target = tmp_path / "doctor.json"
    command = [sys.executable, "-m", "ofa_bert", "doctor", "--json", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {item["name"]: item for item in json.loads(target.read_text("utf-8"))["findings"]}
    for name in ("Paddle", "PaddleNLP", "training, cpu", "two processes, cpu", "export", "paddle_inference, cpu"):
        assert found[name]["state"] == "works", done.stdout
    assert found["training, cpu"]["facts"]["parity"] < 1e-4
    assert 0 <= found["two processes, cpu"]["facts"]["apart"] <= 2e-5
    assert found["onnx_runtime, cpu"]["facts"]["int8"]["share"] < 0.5
    assert found["paddle_inference, cpu"]["facts"]["fp32"]["sentences_per_second"] > 0
