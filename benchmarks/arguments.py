"""Numbers on a benchmark's command line: one that cannot be is said by argparse, before anything is measured."""

from __future__ import annotations

import argparse
import re


def above_zero(text: str) -> int:
    return _whole(text, 1, "a whole number above 0")


def not_negative(text: str) -> int:
    return _whole(text, 0, "a whole number, 0 or more")


def not_negative_number(text: str) -> float:
    if not re.fullmatch(r"\d{0,6}\.?\d{1,9}", text):
        raise argparse.ArgumentTypeError(f"{text}: must be a number, 0 or more")
    return float(text)


def _whole(text: str, least: int, wanted: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text}: must be {wanted}")
    return int(text)


def hidden_size(text: str, heads: int = 12) -> int:
    """One that the heads divide."""
    size = above_zero(text)
    if size % heads:
        near = sorted({max(1, size // heads) * heads, (size // heads + 1) * heads})
        choices = " or ".join(map(str, near))
        raise argparse.ArgumentTypeError(f"{text}: must be a multiple of the {heads} heads; try {choices}")
    return size


def shape(text: str) -> str:
    """layers x hidden x heads x FFN neurons."""
    numbers = re.fullmatch(r"([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})x([1-9]\d{0,5})", text)
    if numbers is None:
        raise argparse.ArgumentTypeError(f"{text}: must be layers x hidden x heads x FFN neurons, as 12x768x12x3072")
    hidden_size(numbers[2], int(numbers[3]))
    return text


def sub_model(text: str) -> str:
    """w<width>, or w<width>_d<depth>, each above 0 and at most 1."""
    found = re.fullmatch(r"w(\d*\.?\d+)(?:_d(\d*\.?\d+))?", text)
    if found is None or not all(0 < float(number) <= 1 for number in found.groups() if number):
        raise argparse.ArgumentTypeError(
            f"{text}: must be w<width>_d<depth> with shares above 0 and at most 1, as w0.6667_d0.5"
        )
    return text
