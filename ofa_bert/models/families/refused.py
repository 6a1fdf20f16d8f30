"""Families that people ask for and that this project cannot take, and why: what is said after "is a ... model"."""

from __future__ import annotations

_MPNET = "whose layers share one table of a bias for each head and distance"
_NEZHA = "whose attention adds distances to its keys and values"

# By model_type, as Hugging Face and PaddleNLP write it.
REFUSED = {"mpnet": _MPNET, "nezha": _NEZHA}
