"""docs/api: every public name is on one page, and what a page shows is there."""

import dataclasses
import importlib
import re
import typing

import ofa_bert
from helpers.paths import ROOT

PAGES = sorted((ROOT / "docs" / "api").glob("*.md"))
DIRECTIVE = re.compile(r"^::: (\S+)$", re.M)


def shown():
    """The names after ::: on all pages, in their order."""
    return [name for page in PAGES for name in DIRECTIVE.findall(page.read_text(encoding="utf-8"))]


def test_every_public_name_is_on_one_page():
    public = [name for name in shown() if name.count(".") == 1]
    assert sorted(public) == [f"ofa_bert.{name}" for name in ofa_bert.__all__]


def test_what_a_page_shows_is_defined_where_it_says():
    for name in shown():
        module, _, own = name.rpartition(".")
        value = getattr(importlib.import_module(module), own)
        assert value.__module__ in (module, ofa_bert._HOMES.get(own)), name


def test_every_page_is_named_by_the_first():
    first = (ROOT / "docs" / "api" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES if page.name != "README.md" and f"]({page.name})" not in first] == []


def test_every_group_of_a_job_is_explained():
    """Whoever makes a job by hand needs them."""

    def groups(kind):
        for name, hint in typing.get_type_hints(kind).items():
            if name in kind.__dataclass_fields__ and dataclasses.is_dataclass(hint):
                yield hint
                yield from groups(hint)

    jobs = [getattr(ofa_bert, name) for name in ofa_bert.__all__ if name.endswith("Job")]
    needed = {group.__name__ for job in jobs for group in groups(job)}
    assert len(needed) > 15
    assert needed - {name.rpartition(".")[2] for name in shown()} == set()
