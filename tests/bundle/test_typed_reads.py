"""A manifest is read by attribute: only the files of its type look into it by name."""

import ast

from helpers.paths import ROOT

PACKAGE = ROOT / "ofa_bert"
# Where JSON becomes a type.
OF_THE_TYPE = {"bundle/manifest.py", "bundle/entries.py", "bundle/exit_entry.py", "bundle/front.py"}
MANIFESTS = {"manifest"}
# What parts of a manifest are called, with what stands in them: results of training have entries of their own.
PARTS = {"entry", "chosen"}
PART_KEYS = {"layers", "models", "criterion", "table", "files", "format", "precision", "fused", "policy", "mode", "ask"}
# What only a manifest says, whatever holds it.
KEYS = {"max_abs_difference", "argmax_agreement", "score_after", "checked_with", "compared_shapes"}
OWN_ENTRIES = {"training/exits/train.py"}


def reads(tree):
    """(holder, key, line) of every value that is read by a name: x["key"], x.y["key"], x.get("key")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            holder, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            holder, key = node.func.value, node.args[0] if node.args else None
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield last_name(holder), key.value, node.lineno


def last_name(node):
    """What a reader would call it: of `self.manifest` and `case.bundle.manifest` "manifest"."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return "manifest" if last_name(node.func) in ("read_manifest", "open_bundle") else ""
    return node.id if isinstance(node, ast.Name) else ""


def found_in(text):
    return [
        (holder, key, line)
        for holder, key, line in reads(ast.parse(text))
        if holder in MANIFESTS or key in KEYS or (holder in PARTS and key in PART_KEYS)
    ]


def test_nobody_reads_a_manifest_by_name():
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
        'read_manifest(path)["parameters"]',
        'entry["layers"]',
        'report["score_after"]',
    ):
        assert found_in(text), text
    for text in ("manifest.labels", 'manifest["x"] = 1', 'entry["score"]', "manifest[key]", 'row.get("bundle")'):
        assert not found_in(text), text
