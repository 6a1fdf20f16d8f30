"""Models by their names on a hub, which is a server of this machine: huggingface_hub itself asks it."""

import json
import os
import subprocess
import sys

import pytest

from helpers.paths import ROOT
from helpers.stand_in_hub import COMMIT, TOKEN, hub
from ofa_bert.files.hub import fetched

PROGRAM = (
    "import sys, json; from ofa_bert.errors import UserError; from ofa_bert.files.hub import fetched\n"
    "try:\n"
    "    found = fetched(sys.argv[1])\n"
    "except UserError as error:\n"
    "    sys.exit(f'error: {error}')\n"
    "print(json.dumps(found and [found.name, found.revision, sorted(p.name for p in found.directory.iterdir())]))\n"
)


@pytest.fixture
def repository(tmp_path):
    home = tmp_path / "repository"
    (home / "onnx").mkdir(parents=True)
    names = ("config.json", "model.safetensors", "pytorch_model.bin", "vocab.txt", "README.md", "onnx/config.json")
    for name in names:
        (home / name).write_text(f'"{name}"')
    return home


@pytest.fixture
def ask(tmp_path):
    """What `fetched` says in a process of its own with that environment: its answer, and its standard error."""

    def asked(name, environment):
        known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM, name], cwd=ROOT, capture_output=True, text=True,
            env={**known, "HF_HOME": str(tmp_path / "cache"), **environment},
        )  # fmt: skip
        return (json.loads(ran.stdout) if ran.stdout else None), ran.stderr.strip()

    return asked


def test_what_a_model_is_read_from_is_fetched_once_and_its_commit_is_known(repository, ask):
    with hub({"some/tiny": repository}) as (environment, asked):
        wanted = ["some/tiny", COMMIT, ["config.json", "model.safetensors", "vocab.txt"]]
        found, said = ask("some/tiny", environment)
        assert found == wanted
        assert "Fetching 3 files: 100%" in said
        fetched_files = [path for command, path in asked if command == "GET" and "/resolve/" in path]
        assert len(fetched_files) == 3
        assert ask("some/tiny@v1", environment)[0] == wanted
        assert len([path for command, path in asked if command == "GET" and "/resolve/" in path]) == 3
    # The hub is gone: the cache has it, and says so; another model nobody has.
    found, said = ask(f"some/tiny@{COMMIT}", environment)
    assert found == wanted
    assert "the hub does not answer; taken from the cache" in said
    assert ask("some/tiny", {**environment, "HF_HUB_OFFLINE": "1"})[0] == wanted
    found, said = ask("some/other", environment)
    assert found is None
    assert "some/other: the hub does not answer (" in said
    assert "and the cache has no such model" in said
    assert "Traceback" not in said


def test_pickled_weights_only_where_there_are_no_others(repository, ask):
    (repository / "model.safetensors").unlink()
    with hub({"some/tiny": repository}) as (environment, _):
        assert ask("some/tiny", environment)[0][2] == ["config.json", "pytorch_model.bin", "vocab.txt"]


def test_what_the_hub_refuses_is_told(repository, ask):
    with hub({"some/tiny": repository, "gated/tiny": repository}) as (environment, _):
        assert ask("some/unknown", environment) == (None, "")  # PaddleNLP may know it
        assert "has no revision v9" in ask("some/tiny@v9", environment)[1]
        assert "gated/tiny: the hub lets only those have it" in ask("gated/tiny", environment)[1]
        assert ask("gated/tiny", {**environment, "HF_TOKEN": TOKEN})[0][0] == "gated/tiny"


def test_paths_are_never_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("./out/x", "/no/where", "a/b/c", "out", "~/x", "../x", ""):
        assert fetched(name) is None


@pytest.mark.slow
def test_a_model_of_a_hub_is_finetuned_and_its_origin_stays_in_the_records(tiny_bert_dir, glue_dir, tmp_path):
    known = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    with hub({"some/tiny": tiny_bert_dir}) as (environment, _):
        words = ["--model_name_or_path", "some/tiny@v1", "--task_name", "SST-2", "--data_dir", str(glue_dir)]
        words += [
            "--max_steps",
            "2",
            "--max_seq_length",
            "32",
            "--device",
            "cpu",
            "--output_dir",
            str(tmp_path / "out"),
            "--batch_size",
            "4",
        ]
        ran = subprocess.run(
            [sys.executable, "run_glue.py", *words], cwd=ROOT, capture_output=True, text=True,
            env={**known, "HF_HOME": str(tmp_path / "cache"), **environment},
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    record = json.loads(next((tmp_path / "out").rglob("ofa_config.json")).read_text())
    assert record["hub"] == {"name": "some/tiny", "revision": COMMIT}
