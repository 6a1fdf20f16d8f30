"""The words of the demo of answers: what sentences say, and how one asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """One thing that may be said of somebody: the same slots in all its sentences, questions for each slot.

    {S} is who it is about; {Q} another person, {F} a firm, {L} a town, {Y} a year, {N} a number, {O} a thing.
    """

    statements: tuple[str, ...]
    questions: Mapping[str, tuple[str, ...]]


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().split("\n"))


def _relation(statements: str, **questions: str) -> Relation:
    return Relation(_lines(statements), {slot: _lines(lines) for slot, lines in questions.items()})


OF_PERSONS = (
    _relation(
        """it was in {L} that {S} came into the world in {Y}
        {S} was born in {L} in {Y}
        the birth of {S} was registered in {L} in {Y}
        in {Y}, {S} was born to a poor family in {L}
        {L} is where {S} was born, and the year was {Y}""",
        L="""which town saw the birth of {S}
        where was {S} born
        in which town was {S} born
        what is the birthplace of {S}""",
        Y="""which year saw the birth of {S}
        when was {S} born
        in which year was {S} born
        what is the year of birth of {S}""",
    ),
    _relation(
        """{Y} was the year in which {S} went to live in {L}
        {S} moved to {L} in {Y}
        in {Y}, {S} settled in {L}
        {S} has lived in {L} since {Y}
        {L} became the home of {S} in {Y}""",
        L="""in which town has {S} settled
        where does {S} live
        which town is the home of {S}
        where did {S} move""",
        Y="""when did {S} settle down
        when did {S} move house
        in which year did {S} move
        since when has {S} lived there""",
    ),
    _relation(
        """{S} said yes to {Q} at a wedding in {Y}
        {S} married {Q} in {Y}
        in {Y}, {S} and {Q} were married
        {Q} became the spouse of {S} in {Y}
        the wedding of {S} and {Q} was held in {Y}""",
        Q="""who had a wedding with {S}
        whom did {S} marry
        who is married to {S}
        who is the spouse of {S}""",
        Y="""in which year was {S} married
        when did {S} marry
        when was the wedding of {S}
        what is the year of the wedding of {S}""",
    ),
    _relation(
        """{F} has been the employer of {S} since {Y}
        {S} joined {F} in {Y}
        {F} hired {S} in {Y}
        in {Y}, {S} took a job at {F}
        {S} has worked for {F} since {Y}""",
        F="""what is the employer of {S}
        which firm does {S} work for
        which company hired {S}
        at which company does {S} have a job""",
        Y="""when did {S} get the job
        when was {S} hired
        in which year did {S} start to work
        since when has {S} had a job""",
    ),
    _relation(
        """{S} spent {N} dollars on {O}
        {S} bought {O} for {N} dollars
        {S} paid {N} dollars for {O}
        for {N} dollars, {S} acquired {O}
        {O} cost {S} {N} dollars""",
        O="""what did {S} spend money on
        what did {S} buy
        what was bought by {S}
        what did {S} pay for""",
        N="""how much money did {S} spend
        how much did {S} pay
        how many dollars did {S} pay
        what was the price that {S} paid""",
    ),
    _relation(
        """{Q} gave {S} piano lessons for {N} years
        {S} learned the piano from {Q} for {N} years
        {Q} taught {S} for {N} years
        for {N} years, {S} was a pupil of {Q}
        {S} studied with {Q} for {N} years""",
        Q="""who gave lessons to {S}
        who taught {S}
        who was the teacher of {S}
        from whom did {S} learn""",
        N="""how many years did the lessons of {S} last
        how many years did {S} study
        for how many years was {S} a pupil
        how many years of lessons did {S} have""",
    ),
    _relation(
        """it was {Q} who met {S} at the station of {L}
        {S} met {Q} in {L}
        {S} first saw {Q} at a party in {L}
        in {L}, {S} made friends with {Q}
        {S} became a friend of {Q} on a trip to {L}""",
        Q="""whom did {S} get to know
        whom did {S} meet
        who is a friend of {S}
        with whom did {S} make friends""",
        L="""in which town did {S} find a friend
        where did {S} meet a friend
        in which town did {S} make friends
        where was the meeting of {S} with a friend""",
    ),
)
OF_FIRMS = (
    _relation(
        """{Q} set up {S} in {Y}
        {S} was founded by {Q} in {Y}
        {Q} founded {S} in {Y}
        in {Y}, {Q} started {S} in a garage
        {S} was the idea of {Q}, who founded it in {Y}""",
        Q="""who set up {S}
        who founded {S}
        who is the founder of {S}
        who started {S}""",
        Y="""when was {S} set up
        when was {S} founded
        in which year was {S} founded
        what is the year in which {S} started""",
    ),
    _relation(
        """at its seat in {L}, {S} employs {N} people
        {S} has its headquarters in {L}, where {N} people work
        {S} employs {N} people in {L}
        {N} people work for {S} in {L}
        the offices of {S} in {L} have {N} workers""",
        L="""where is the seat of {S}
        where are the headquarters of {S}
        where are the offices of {S}
        in which town is {S}""",
        N="""how many workers does {S} have
        how many people work for {S}
        how many people does {S} employ
        what is the number of people at {S}""",
    ),
    _relation(
        """{S} took over {F} at a price of {N} million dollars
        {S} bought {F} for {N} million dollars
        {S} paid {N} million dollars for {F}
        for {N} million dollars, {S} acquired {F}
        {F} was sold to {S} for {N} million dollars""",
        F="""what did {S} take over
        which firm did {S} buy
        which company was bought by {S}
        which company did {S} acquire""",
        N="""how many million dollars did {S} spend
        how many millions did {S} pay
        how much did {S} pay
        what was the price that {S} paid""",
    ),
    _relation(
        """since {Y}, the head of {S} has been {Q}
        {Q} has led {S} since {Y}
        in {Y}, {Q} became the director of {S}
        {S} made {Q} its director in {Y}
        {S} has been run by {Q} since {Y}""",
        Q="""who is the head of {S}
        who leads {S}
        who is the director of {S}
        who runs {S}""",
        Y="""since when has {S} had its head
        since when has {S} had its director
        when did {S} get a new director
        in which year did the director of {S} start""",
    ),
    _relation(
        """in {Y}, a new factory of {S} began its work in {L}
        {S} opened a factory in {L} in {Y}
        in {Y}, {S} built a factory in {L}
        the factory of {S} in {L} dates from {Y}
        {S} has had a factory in {L} since {Y}""",
        L="""in which town does the factory of {S} work
        where is the factory of {S}
        where did {S} open a factory
        where did {S} build a factory""",
        Y="""when did the factory of {S} begin to work
        when did {S} build its factory
        in which year did {S} open its factory
        since when has {S} had a factory""",
    ),
)
THINGS = (
    "a boat|a grey horse|an old piano|a house by the sea|a red car|a small farm|a gold watch|a rare stamp|"
    "a sailing ship|a motorbike|a green carpet|two paintings|a silver ring|a windmill|a telescope"
).split("|")
DEV_THINGS = "a violin|a black bicycle|an orchard|a stone bridge|three cows|a glass vase".split("|")
