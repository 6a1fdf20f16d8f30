"""Packages that are not there, that do not load, or that say what a test wants, for processes that a test starts."""

from __future__ import annotations

import os

# Hides packages from every import of a process that finds this file, as if they were not installed.
HIDE = """
import importlib.machinery, sys

class Visible(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.split(".")[0] in {names!r} else super().find_spec(name, path, target)

sys.meta_path[:] = [Visible if found is importlib.machinery.PathFinder else found for found in sys.meta_path]
"""


class Stubs:
    """A directory that child processes look into first, and this one for distributions too."""

    def __init__(self, directory, monkeypatch):
        self.directory = directory
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")]))
        monkeypatch.syspath_prepend(str(directory))

    def package(self, name, code):
        folder = self.directory / name
        folder.mkdir()
        (folder / "__init__.py").write_text(code, encoding="utf-8")

    def hide(self, *names):
        (self.directory / "sitecustomize.py").write_text(HIDE.format(names=set(names)), encoding="utf-8")

    def distribution(self, name, version, *lines):
        """As pip leaves it: its metadata, with lines such as Requires-Dist."""
        folder = self.directory / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        told = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines]
        (folder / "METADATA").write_text("\n".join(told) + "\n", encoding="utf-8")
