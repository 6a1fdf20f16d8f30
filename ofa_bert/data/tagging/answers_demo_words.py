"""The words of the demo of answers: what is said of persons, and how one asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Relation:
    """One thing that may be said of a person: the same slots in all its clauses, questions for those of them that
    another thing has too.

    {S} is who it is about, {Q} another person, {F} a firm, {L} a town, {Y} a year, {N} a number, {O} a thing.
    """

    clauses: tuple[str, ...]
    questions: Mapping[str, tuple[str, ...]]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().split("|"))


def _relation(clauses: str, **questions: str) -> Relation:
    return Relation(_lines(clauses), {slot: _lines(lines) for slot, lines in questions.items()})


# Of every list training never shows the first.
RELATIONS = (
    _relation(
        "came into the world in {Y} in {L}|was born in {L} in {Y}|was born in {Y} in the town of {L}|"
        "saw the light of day in {L} in {Y}",
        L="which town saw the birth of {S}|where was {S} born|in which town was {S} born|what is the birthplace of {S}",
        Y="which year saw the birth of {S}|when was {S} born|in which year was {S} born|"
        "what is the year of birth of {S}",
    ),
    _relation(
        "went to live in {L} in {Y}|moved to {L} in {Y}|settled in {L} in {Y}|found a new home in {L} in {Y}",
        L="in which town did {S} settle|where does {S} live|which town is the home of {S}|where did {S} move",
        Y="when did {S} settle down|when did {S} move|in which year did {S} move|when did {S} find a new home",
    ),
    _relation(
        "said yes to {Q} in {Y}|married {Q} in {Y}|became the spouse of {Q} in {Y}|had a wedding with {Q} in {Y}",
        Q="who had a wedding with {S}|whom did {S} marry|who is married to {S}|who is the spouse of {S}",
        Y="in which year was {S} married|when did {S} marry|when was the wedding of {S}|"
        "what is the year of the wedding of {S}",
    ),
    _relation(
        "found work at {F} in {Y}|joined {F} in {Y}|was hired by {F} in {Y}|took a job at {F} in {Y}",
        Y="when did {S} get a job|when was {S} hired|in which year did {S} start to work|since when has {S} had a job",
    ),
    _relation(
        "spent money on {O} in {Y}|bought {O} in {Y}|acquired {O} in {Y}|paid for {O} in {Y}",
        O="what did {S} spend money on|what did {S} buy|what was bought by {S}|what did {S} acquire",
        Y="when did {S} spend money|when did {S} buy something|in which year did {S} buy something|"
        "when did {S} pay for something",
    ),
    _relation(
        "got {N} dollars for {O}|sold {O} for {N} dollars|gave {O} away for {N} dollars|earned {N} dollars with {O}",
        O="what did {S} give away|what did {S} sell|what was sold by {S}|what earned {S} money",
    ),
    _relation(
        "had {Q} as a piano teacher in {L}|learned the piano from {Q} in {L}|was taught the piano by {Q} in {L}|"
        "took piano lessons from {Q} in {L}",
        Q="who gave lessons to {S}|who taught {S}|who was the teacher of {S}|from whom did {S} learn the piano",
        L="in which town did {S} have lessons|where did {S} learn the piano|where was {S} taught|"
        "in which town did {S} learn the piano",
    ),
    _relation(
        "got to know {Q} in {L}|met {Q} in {L}|made friends with {Q} in {L}|became a friend of {Q} in {L}",
        Q="who got to know {S}|whom did {S} meet|who is a friend of {S}|with whom did {S} make friends",
        L="in which town did {S} find a friend|where did {S} meet a friend|where did {S} make friends|"
        "in which town did {S} make friends",
    ),
)
THINGS = (
    "a boat|a grey horse|an old piano|a farm|a red car|a gold watch|a rare stamp|a motorbike|a green carpet|"
    "a silver ring|a windmill|a telescope|a clock|a tent|a white goat"
).split("|")
DEV_THINGS = "a violin|a black bicycle|an orchard|a lamp|a brown cow|a glass vase".split("|")
