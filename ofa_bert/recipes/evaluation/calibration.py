"""Whether a classifier is as sure as it is right."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ofa_bert.numerics import Bools, Floats, log_softmax

BINS = 15  # as Guo et al. count it (On Calibration of Modern Neural Networks, 2017)


class Bin(NamedTuple):
    """Answers with a probability above `low`, up to `high`: how many, its mean, and the share of right ones."""

    low: float
    high: float
    examples: int
    probability: float
    right: float


class Calibration(NamedTuple):
    """error: expected calibration error, the mean over examples of their bin's distance between the two.

    Bins without examples are left out.
    """

    error: float
    bins: tuple[Bin, ...]


def certainty(logits: Floats) -> Floats:
    """The probability [...] of the likeliest class, by logits [..., C]; float64."""
    return np.asarray(np.exp(log_softmax(np.asarray(logits, np.float64))).max(axis=-1))


def calibration(probabilities: Floats, right: Bools) -> Calibration:
    """Of the probabilities [N] of answers, of which `right` [N] are."""
    places = np.clip(np.ceil(probabilities * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for place in range(BINS):
        here = places == place
        if here.any():
            mean, share = float(probabilities[here].mean()), float(right[here].mean())
            bins.append(Bin(place / BINS, (place + 1) / BINS, int(here.sum()), mean, share))
    error = sum(each.examples * abs(each.probability - each.right) for each in bins) / len(probabilities)
    return Calibration(error, tuple(bins))
