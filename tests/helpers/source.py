"""What a file decides by, from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Any


def asked(
    tree: ast.AST, names: Collection[Any], calls: Collection[str] = (), keys: bool = True
) -> Iterator[tuple[int, Any]]:
    """(line, name) wherever one of `names` is compared, matched, looked up, or handed to one of `calls`.

    A call is named by its function or its method. keys: those of dictionaries that are written out count too.
    """
    for node in ast.walk(tree):
        within: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            within = [node.left, *node.comparators]
        elif isinstance(node, ast.Dict) and keys:
            within = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Subscript):
            within = [node.slice]
        elif isinstance(node, ast.MatchValue):
            within = [node.value]
        elif isinstance(node, ast.Call) and _called(node) in calls:
            within = [*node.args, *(word.value for word in node.keywords)]
        for part in within:
            for leaf in ast.walk(part):
                if isinstance(leaf, ast.Constant) and leaf.value in names:
                    yield leaf.lineno, leaf.value


def _called(call: ast.Call) -> str:
    return getattr(call.func, "id", "") or getattr(call.func, "attr", "")


def reads(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """(holder, key, line) of every value that is read by a name: x["key"], x.y["key"], x.get("key")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            holder, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            holder, key = node.func.value, node.args[0] if node.args else ast.Constant(None)
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield _last_name(holder), key.value, node.lineno


def _last_name(node: ast.AST) -> str:
    """What a reader would call it: of `self.manifest` and `case.bundle.manifest` "manifest"."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Call):
        return "manifest" if _last_name(node.func) in ("read_manifest", "open_bundle") else ""
    return node.id if isinstance(node, ast.Name) else ""
