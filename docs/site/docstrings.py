"""For Griffe: docstrings as they stand in the code, read as the site needs them.

An example becomes a block of code, which Markdown would take for a quotation, and the options of a job become a table
below what its docstring says.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import Any

import griffe

_OURS = "ofa_bert"  # under which an attribute keeps its description until the table is made
_EXPLAINED = re.compile("(?P<all>(?P<name>[a-z_]+)(?:, [a-z_]+)*): (?P<words>.+)")  # "rows, tokens: at most so many"
_EXAMPLE = re.compile(r"^( *)>>> .*\n(?:^ *\S.*\n?)*", re.M)


def fenced(text: str) -> str:
    """The text with a fence around every example, which ends at an empty line."""

    def fence(found: re.Match[str]) -> str:
        indent, block = found.group(1), found.group(0).rstrip("\n")
        return f"\n{indent}```pycon\n{block}\n{indent}```\n"

    return _EXAMPLE.sub(fence, text if text.endswith("\n") else text + "\n").rstrip("\n")


def listed(text: str, names: Collection[str]) -> str:
    """The text with the lines that explain these names, and those that go on with them, as the items of a list."""
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        found = _EXPLAINED.match(line)
        if found and found["name"] in names:
            if not inside and lines and lines[-1]:
                lines.append("")
            code = ", ".join(f"`{name}`" for name in found["all"].split(", "))
            lines.append(f"- {code}: {found['words']}")
            inside = True
        elif inside and line and not line.startswith(("```", "Raises ", "Returns ")):
            lines[-1] += " " + line.strip()
        else:
            lines += ["", line] if inside and line else [line]
            inside = False
    return "\n".join(lines)


class Docstrings(griffe.Extension):
    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_function_instance(self, *, func: griffe.Function, **_: Any) -> None:
        if func.docstring is not None:
            func.docstring.value = listed(func.docstring.value, [each.name for each in func.parameters])

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Notes what options say, and gives each its default as its value, for the signature of the class."""
        if cls.docstring is not None:
            cls.docstring.value = listed(cls.docstring.value, cls.members)
        attributes = [member for member in cls.members.values() if isinstance(member, griffe.Attribute)]
        options = [_call(each) for each in attributes]
        for attribute, call in zip(attributes, options):
            if call is not None:
                positional = [each for each in call.arguments if not isinstance(each, griffe.ExprKeyword)]
                attribute.value = positional[1] if len(positional) > 1 else None
                attribute.extra[_OURS] = _sentence(_words(cls, positional[0])) + _default(cls, attribute.value)
            elif any(options) and "property" not in attribute.labels:
                attribute.extra[_OURS] = "A group of options."

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Makes the tables, now that it is known what a class inherits."""
        for cls in _classes(pkg):
            rows = [(name, each.extra[_OURS]) for name, each in cls.all_members.items() if _OURS in each.extra]
            if rows and cls.docstring is not None:
                cls.docstring.value += "\n\nAttributes:\n" + "\n".join(f"    {name}: {words}" for name, words in rows)


def _classes(module: griffe.Module) -> Iterator[griffe.Class]:
    for member in module.members.values():
        if isinstance(member, griffe.Module):
            yield from _classes(member)
        elif isinstance(member, griffe.Class):
            yield member


def _call(attribute: griffe.Attribute) -> griffe.ExprCall | None:
    call = attribute.value
    return call if isinstance(call, griffe.ExprCall) and str(call.function) == "option" and call.arguments else None


def _default(cls: griffe.Class, value: griffe.Expr | str | None) -> str:
    if value is None:
        return " Required."
    return "" if str(value) == "None" else f" Default: `{_known(cls, value)}`."  # what None stands for, the words say


def _known(cls: griffe.Class, value: griffe.Expr | str) -> griffe.Expr | str:
    """What a constant of the module is set to; any other value as it stands."""
    constant = cls.module.members.get(str(value)) if isinstance(value, griffe.ExprName) else None
    found = constant.value if isinstance(constant, griffe.Attribute) else None
    return value if found is None else found


def _words(cls: griffe.Class, value: griffe.Expr | str) -> str:
    """The text of an expression; what is only known when the module runs is left out of it."""
    value = _known(cls, value)
    if isinstance(value, griffe.ExprJoinedStr):
        return "".join(part if isinstance(part, str) else _words(cls, part) for part in value.values)
    if isinstance(value, griffe.ExprFormatted):
        return _words(cls, value.value)
    try:
        return str(ast.literal_eval(str(value)))
    except (SyntaxError, ValueError):
        return "…"


def _sentence(words: str) -> str:
    words = re.sub(r"<(\w+)>", r"&lt;\1&gt;", words)  # a placeholder, which Markdown would take for HTML
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")
