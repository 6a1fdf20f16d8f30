"""A visit of the doctor, and packages that are other than what is installed."""

import pytest

from helpers.stub_packages import Stubs
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit


class Found(Visit):
    """A visit that has found what a test says."""

    def say(self, name, state="works", **facts):
        self.found[name] = Finding(name, state, "as a test says", facts=facts)
        return self


@pytest.fixture
def visit(tmp_path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    return Found(workspace)


@pytest.fixture
def stubs(tmp_path, monkeypatch):
    directory = tmp_path / "stubs"
    directory.mkdir()
    return Stubs(directory, monkeypatch)
