"""Every kind of file that is damaged on purpose: how a good one is made, and what is done with a damaged one.

A new kind is one entry of KINDS in its file. test_complete.py sees that every file that is read has one.
"""

from __future__ import annotations

from robustness import bundle_kinds, data_kinds, load_kinds, model_kinds, report_kinds, search_kinds, weight_kinds

KINDS = (
    *weight_kinds.KINDS,
    *bundle_kinds.KINDS,
    *data_kinds.KINDS,
    *search_kinds.KINDS,
    *model_kinds.KINDS,
    *load_kinds.KINDS,
    *report_kinds.KINDS,
)
