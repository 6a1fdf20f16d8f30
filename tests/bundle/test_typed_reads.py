"""Manifests and records are read by attribute: only the files of their types look into them by name."""

import ast

from helpers.paths import ROOT
from helpers.source import reads

PACKAGE = ROOT / "ofa_bert"
# Where JSON becomes a type.
OF_THE_TYPE = {
    "bundle/manifest.py", "bundle/entries.py", "bundle/exit_entry.py", "bundle/front.py", "models/record.py",
}  # fmt: skip
HOLDERS = {"manifest", "record", "meta"}
# What parts of a manifest are called, with what stands in them: results of training have entries of their own.
PARTS = {"entry", "chosen"}
PART_KEYS = {"layers", "models", "criterion", "table", "files", "format", "precision", "fused", "policy", "mode", "ask"}
# What only a manifest says, whatever holds it.
KEYS = {"max_abs_difference", "argmax_agreement", "score_after", "checked_with", "compared_shapes"}
OWN_ENTRIES = {"training/exits/train.py"}


def found_in(text):
    return [
        (holder, key, line)
        for holder, key, line in reads(ast.parse(text))
        if holder in HOLDERS or key in KEYS or (holder in PARTS and key in PART_KEYS)
    ]


def test_nobody_reads_a_manifest_or_a_record_by_name():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in OF_THE_TYPE | OWN_ENTRIES:
            found[name] = found_in(path.read_text(encoding="utf-8"))
    assert len(found) > 150
    assert {name: places for name, places in found.items() if places} == {}


def test_what_would_be_found():
    for text in (
        'manifest["labels"]',
        'self.manifest["num_labels"]',
        'manifest.get("task")',
        'setup.record["scores"]',
        'meta.get("task")',
        'read_manifest(path)["parameters"]',
        'entry["layers"]',
        'report["score_after"]',
    ):
        assert found_in(text), text
    for text in ("manifest.labels", 'manifest["x"] = 1', 'entry["score"]', "manifest[key]", 'row.get("bundle")'):
        assert not found_in(text), text
