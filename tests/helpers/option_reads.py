"""Which options of a job the code of a command reads, by the source alone: by type, not by name.

From the command's `run` on, every function and class that is named in code that is reached is reached. In each of them
a job and its groups are followed by their annotations: parameters, attributes of other classes, what `parse` and
`replace` return. So an option counts as read only where it is read of the class that has it.
"""

from __future__ import annotations

import ast
import dataclasses
import typing
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from helpers.paths import ROOT

Node = ast.AST
# What is only looked at to be refused is not used.
CHECKS = {f"ofa_bert.{package}.early" for package in ("training", "search", "export")}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Place(NamedTuple):
    """A function or class of the package: its module and its name there."""

    module: str
    name: str


def source_of(module):
    base = ROOT / module.replace(".", "/")
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return path if path.is_file() else None


@cache
def tree_of(module):
    return ast.parse(source_of(module).read_text("utf-8"))


@cache
def names_of(module) -> dict[str, Place]:
    """What a name means in a module: what it defines, and what it imports from this package anywhere in it."""
    found: dict[str, Place] = {}
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ofa_bert"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found[alias.asname or alias.name] = (
                    Place(inner, "") if source_of(inner) else Place(node.module, alias.name)
                )
    for node in tree_of(module).body:
        targets = []
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            targets = [node.name]
        elif isinstance(node, ast.Assign):
            targets = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            targets = [node.target.id]
        found.update({name: Place(module, name) for name in targets})
    return found


@cache
def definition(place: Place) -> tuple[str, Node] | None:
    """(module, statement) that defines it, followed through imports."""
    if not place.name or source_of(place.module) is None:
        return None
    for node in tree_of(place.module).body:
        named = isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node.name == place.name
        assigned = isinstance(node, (ast.Assign, ast.AnnAssign)) and place.name in {
            target.id
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        if named or assigned:
            return place.module, node
    again = names_of(place.module).get(place.name)
    return definition(again) if again not in (None, place) else None


def words(annotation: Node | None) -> Iterator[ast.Name]:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval")
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Name):
            yield node


class Reads:
    """Everything that the code reached from a command reads: (class name, attribute)."""

    def __init__(self, jobs: set[str]):
        self.jobs, self.found = jobs, set()
        self._seen: set[int] = set()
        self._waiting: list[tuple[str, Node, dict[str, str]]] = []

    def start(self, place: Place) -> Reads:
        self._reach(place)
        while self._waiting:
            self._visit(*self._waiting.pop())
        return self

    def _reach(self, place: Place) -> None:
        found = definition(place)
        if found is None or id(found[1]) in self._seen or found[0] in CHECKS:
            return
        self._seen.add(id(found[1]))
        module, node = found
        if isinstance(node, ast.ClassDef) and node.name not in self.jobs:
            for member in node.body:
                self._waiting.append((module, member, {"self": node.name, "cls": node.name}))
        if isinstance(node, ast.ClassDef):  # a job's own properties are reached when they are read
            for base in node.bases:
                for name in words(base):
                    if name.id in names_of(module):
                        self._reach(names_of(module)[name.id])
            return
        self._waiting.append((module, node, {}))

    def _read(self, owner: str, attribute: str) -> None:
        if (owner, attribute) in self.found:
            return
        self.found.add((owner, attribute))
        for module, node in classes().get(owner, []):
            for member in node.body:
                if isinstance(member, FUNCTIONS) and member.name == attribute and "problems" not in attribute:
                    self._waiting.append((module, member, {"self": owner, "cls": owner}))

    def _visit(self, module: str, node: Node, known: dict[str, str]) -> None:
        known = dict(known)
        if isinstance(node, FUNCTIONS):
            for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                kind = type_named(argument.annotation)
                if kind is not None:
                    known[argument.arg] = kind
        for _ in range(2):  # a loop may use what is assigned further down
            for each in ast.walk(node):
                self._learn(each, known)
        for each in ast.walk(node):
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Load):
                owner = self._type(each.value, known)
                if owner is not None:
                    self._read(owner, each.attr)
                elif isinstance(each.value, ast.Name):
                    place = names_of(module).get(each.value.id)
                    if place is not None and not place.name:
                        self._reach(Place(place.module, each.attr))
            elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in names_of(module):
                self._reach(names_of(module)[each.id])
            elif isinstance(each, ast.Call):
                self._by_name(node, each, known)

    def _learn(self, node: Node, known: dict[str, str]) -> None:
        pairs: list[tuple[Node, Node]] = []
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs += zip(target.elts, node.value.elts)
                elif isinstance(target, ast.Tuple) and _calls(node.value, "parse_launched"):
                    pairs.append((target.elts[0], node.value))
                else:
                    pairs.append((target, node.value))
        elif isinstance(node, FUNCTIONS):
            pairs = []
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                kind = type_named(argument.annotation)
                if kind is not None:
                    known.setdefault(argument.arg, kind)
        for target, value in pairs:
            kind = self._type(value, known)
            if isinstance(target, ast.Name) and kind is not None:
                known[target.id] = kind

    def _type(self, node: Node, known: dict[str, str]) -> str | None:
        if isinstance(node, ast.Name):
            return known.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._type(node.value, known)
            return None if owner is None else attribute_type(owner, node.attr)
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if called in ("parse", "parse_launched", "replace") and node.args:
                first = node.args[0]
                return first.id if isinstance(first, ast.Name) and first.id in classes() else self._type(first, known)
            if called in classes():
                return called
            if isinstance(node.func, ast.Attribute):
                owner = self._type(node.func.value, known)
                return None if owner is None else attribute_type(owner, node.func.attr)
            return returned(called)
        if isinstance(node, ast.BoolOp):
            return next((kind for value in node.values if (kind := self._type(value, known))), None)
        if isinstance(node, ast.IfExp):
            return self._type(node.body, known) or self._type(node.orelse, known)
        return None

    def _by_name(self, function: Node, call: ast.Call, known: dict[str, str]) -> None:
        """getattr(job, name): of the names that stand as texts in the same function."""
        if not (isinstance(call.func, ast.Name) and call.func.id == "getattr" and len(call.args) > 1):
            return
        owner = self._type(call.args[0], known)
        if owner is not None and "problems" not in getattr(function, "name", ""):
            for node in ast.walk(function):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    self._read(owner, node.value)


def _calls(node: Node, name: str) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == name


@cache
def modules():
    return tuple(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "ofa_bert").rglob("*.py"))
    )


@cache
def classes() -> dict[str, list[tuple[str, ast.ClassDef]]]:
    """Every class of the package by its name."""
    found: dict[str, list[tuple[str, ast.ClassDef]]] = {}
    for module in modules():
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append((module, node))
    return found


def type_named(annotation: Node | None) -> str | None:
    """The first class of this package that an annotation names."""
    return next((name.id for name in words(annotation) if name.id in classes()), None)


@cache
def returned(function: str) -> str | None:
    """What a function of that name returns, where all of that name return the same class."""
    kinds = {
        type_named(node.returns)
        for module in modules()
        for node in tree_of(module).body
        if isinstance(node, FUNCTIONS) and node.name == function
    }
    return kinds.pop() if len(kinds) == 1 else None


@cache
def attribute_type(owner: str, attribute: str) -> str | None:
    for _module, node in classes().get(owner, []):
        for member in node.body:
            if isinstance(member, ast.AnnAssign) and getattr(member.target, "id", "") == attribute:
                return type_named(member.annotation)
            if isinstance(member, FUNCTIONS) and member.name == attribute:
                return type_named(member.returns)
            if isinstance(member, FUNCTIONS) and member.name == "__init__":
                kind = _set_in_init(member, attribute)
                if kind is not None:
                    return kind
        for base in node.bases:
            for name in words(base):
                kind = attribute_type(name.id, attribute)
                if kind is not None:
                    return kind
    return None


def _set_in_init(init: Node, attribute: str) -> str | None:
    known = {argument.arg: type_named(argument.annotation) for argument in [*init.args.args, *init.args.kwonlyargs]}
    for node in ast.walk(init):
        if isinstance(node, ast.Assign):
            pairs = []
            for target in node.targets:
                several = isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple)
                pairs += zip(target.elts, node.value.elts) if several else [(target, node.value)]
            for target, value in pairs:
                if getattr(target, "attr", "") == attribute and isinstance(value, ast.Name):
                    return known.get(value.id)
    return None


def fields_of(job: type) -> Iterator[tuple[type, str]]:
    """(class, option) of a job and of its groups."""
    hints = typing.get_type_hints(job)
    for field in dataclasses.fields(job):
        if "help" in field.metadata:
            yield job, field.name
        elif dataclasses.is_dataclass(hints[field.name]):
            yield from fields_of(hints[field.name])


def unread(command: str, job: type, planted: tuple[tuple[type, str], ...] = ()) -> list[str]:
    """The options of a command that nothing reads which its `run` reaches, as class.option."""
    wanted = [*fields_of(job), *planted]
    found = reads(command, frozenset(cls.__name__ for cls, _ in fields_of(job)) | {job.__name__})
    return sorted(
        f"{cls.__name__}.{name}"
        for cls, name in wanted
        if not any((base.__name__, name) in found for base in cls.__mro__)
    )


@cache
def reads(command: str, jobs: frozenset[str]) -> frozenset[tuple[str, str]]:
    return frozenset(Reads(set(jobs)).start(Place(f"ofa_bert.cli.commands.{command}", "run")).found)
