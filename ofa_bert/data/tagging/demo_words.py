"""The words of the demo of tagged words: what names are made of, and the templates that they stand in."""

from __future__ import annotations

# A stem is one of each. All kinds of names have the same ones, so that their looks give nothing away.
ONSETS = "Bra Cor Dun El Far Gal Hal Kel Lor Mar Nor Or Pel Ras Sel Tor Ul Ver Wal Yar Bel Cas Dor Fen Gor".split()
MIDDLES = "a be da ga la li mi na ro ta vi wen".split()
ENDS = "bury den dale ford gate ham is kin ler mont nard rick son stan ton vale ville wick worth nova".split()
FIRST_NAMES = (
    "Ada Alan Amir Anna Boris Carla Chen Clara David Diego Elena Emil Fatima Felix Grace Hana Hugo Ines Ivan Jack"
    " Jane Karim Kenji Laura Leo Lina Marco Maria Mei Nadia Nils Olga Omar Paul Petra Priya Rosa Sam Sara Sven"
).split()
DEV_FIRST_NAMES = (
    "Agnes Bruno Cyril Dora Edith Farid Gina Hector Irma Jonas Kira Lars Mona Nina Otto Rita Tariq".split()
)
BEHIND_FIRMS = "Ltd|Group|Motors|Bank|Airlines|Foods|Systems|& Sons|Insurance|Pharma|Institute|University|United".split(
    "|"
)
BEFORE_FIRMS = "Bank of|University of|Royal Institute of|Friends of|Port Authority of".split("|")
BEHIND_PLACES = "Falls|Beach|Valley|Heights|Island|Bay|Park|Hills".split("|")
BEFORE_PLACES = "North|South|Lake|Mount|Port|Saint|New|Upper".split("|")
# What else has a name.
OTHERS = (
    "the ship|the storm|our dog|the horse|a cat called|the hurricane|the ferry|their parrot|the comet|the virus|"
    "the satellite|a tractor nicknamed"
).split("|")
WHEN = (
    "last week|in May|on Friday|yesterday|in 2019|this spring|after the war|for years|at dawn|two days later|"
    "in the autumn|next month"
).split("|")
JOBS = (
    "painter|surgeon|lawyer|pianist|carpenter|novelist|teacher|striker|chemist|mayor|nurse|pilot|farmer|judge|detective"
).split("|")

# {PER} {ORG} {LOC} are found, {X} is something else with a name, {W} a time, {J} an occupation, {N} a number.
TEMPLATES = tuple(
    line.strip()
    for line in """
    {PER} was born in {LOC} and became a {J}
    {ORG} hired {N} engineers {W}
    we drove from {LOC} to {LOC} in {N} hours
    {W}, {PER} told reporters that her husband was ill
    shares of {ORG} fell by {N} percent {W}
    the {J} {PER} moved to {LOC} {W}
    {ORG} will close its factory in {LOC}
    the river floods the old town of {LOC} every year
    {PER} married a {J} from {LOC}
    {X} sank off the coast of {LOC} {W}
    {PER} sued {ORG} for {N} million dollars
    the chief executive of {ORG}, {PER}, resigned {W}
    it rained in {LOC} for {N} days
    {X} was seen near {LOC} {W}
    my uncle {PER} works for {ORG}
    {ORG} bought {ORG} for {N} billion dollars
    he shook hands with {PER} and sat down
    trains between {LOC} and {LOC} were cancelled {W}
    {PER} took {X} for a walk {W}
    the board of {ORG} met {W}
    {PER}, aged {N}, died in her sleep
    tourists in {LOC} complained about the heat
    {W}, the staff of {ORG} went on strike
    nobody in {LOC} had ever heard of {PER}
    {X} belongs to {PER}, a {J}
    the profits of {ORG} doubled {W}
    {PER} scored {N} goals against the team of {ORG}
    the bridge across the bay at {LOC} is closed
    {PER} and {PER} are brothers
    customers of {ORG} cannot log in
    the north of {LOC} lost power {W}
    I had dinner with {PER} {W}
    {X} damaged {N} roofs in {LOC}
    {ORG} denied the report
    {PER} smiled and lit a cigarette
    the population of {LOC} has grown
    a spokesman for {ORG} declined to comment
    {LOC} lies {N} miles south of {LOC}
    Mrs {PER} teaches at the school in {LOC}
    {ORG} launched a new phone {W}
    when {PER} was a child, she kept {X}
    the hotel in {LOC} where {PER} stayed burned down
    {PER} quit her job at {ORG}
    the mayor of {LOC} opened the market
    {X} has been repaired by {ORG}
    {PER} wrote {N} letters to his mother
    {ORG} pays its workers badly
    snow fell on the hills around {LOC} {W}
    according to {PER}, the {J} lied
    farmers near {LOC} grow olives
    {ORG} and {ORG} agreed to merge
    {PER} apologised to the {J}
    {W}, police in {LOC} arrested {PER}
    {X} won the prize {W}
    the headquarters of {ORG} are in {LOC}
    they spent their honeymoon in {LOC}
    {PER} plays the violin
    the airport of {LOC} reopened {W}
    regulators fined {ORG} {W}
    {PER}'s daughter is a {J}
    {LOC}'s old harbour is empty
    {ORG}'s lawyers appealed {W}
    {PER} has founded {ORG} together with {PER}
    nothing grows in {LOC} since {X} came
    """.strip().split("\n")
)
