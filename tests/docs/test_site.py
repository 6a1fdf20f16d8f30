"""make docs: what is wrong with the pages ends it."""

import shutil
import subprocess

import pytest

from helpers.paths import ROOT

READ = ("docs", "ofa_bert")
BESIDE = ("Makefile", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE")


@pytest.mark.slow
def test_every_kind_of_fault_is_told_and_ends_make_docs(tmp_path):
    """All at once, since a build takes seconds."""
    uv = ROOT / ".uv" / "bin" / "uv"
    if not uv.exists():
        pytest.skip("no uv, which make docs puts into .uv")
    for name in READ:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in BESIDE:
        shutil.copy(ROOT / name, tmp_path / name)
    page = tmp_path / "docs" / "guides" / "install.md"
    links = (
        "[a](nowhere.md) [b](export.md#no-such-heading) [c](../../README.md#no-such-part) [d](../../no-such-file.py)"
    )
    page.write_text(page.read_text(encoding="utf-8") + f"\n{links}\n", encoding="utf-8")
    (tmp_path / "docs" / "guides" / "unlisted.md").write_text("# In no menu\n", encoding="utf-8")
    command = ["make", "docs", f"UV={uv}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    for told in (
        "link 'nowhere.md', but the target",
        "does not contain an anchor '#no-such-heading'",
        "does not contain an anchor '#no-such-part'",
        "link '../../no-such-file.py', but the target",
        "- guides/unlisted.md",
        "Aborted with 5 warnings in strict mode",
    ):
        assert told in done.stderr + done.stdout, done.stderr
