"""The sections of a page, in their order. A new one is a function of a run's files and its entry here."""

from __future__ import annotations

from collections.abc import Callable

from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.sections import (
    curves,
    demo,
    evaluation,
    exits,
    importance,
    making,
    recipe,
    scores,
    search,
    sub_models,
    tuning,
)
from ofa_bert.report.values import Section

# None where the files have nothing to say of it.
SECTIONS: tuple[Callable[[RunFiles], Section | None], ...] = (
    demo.section,
    sub_models.section,
    search.family_section,
    search.section,
    search.fptas_section,
    recipe.section,
    tuning.section,
    scores.section,
    exits.section,
    exits.threshold_section,
    evaluation.section,
    scores.test_section,
    curves.section,
    importance.section,
    making.data_section,
)
# Long and seldom read: folded away at the page's end.
FOLDED: tuple[Callable[[RunFiles], Section | None], ...] = (making.settings_section, making.versions_section)
