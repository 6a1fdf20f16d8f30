"""Questions with choices as rows of a model's input, the same in training and in deployment."""

from __future__ import annotations

from typing import NamedTuple

FEWEST = 2  # choices
_GAP = "_"  # where a choice goes into the question, as RACE has it


class Question(NamedTuple):
    """A text, what is asked of it, if anything is said, and the choices.

    >>> from ofa_bert import Question
    >>> Question("It rained.", ("The street got wet.", "The sun shone."), "What happened?").rows()[0]
    ('It rained.', 'What happened? The street got wet.')
    """

    text: str
    choices: tuple[str, ...]
    question: str = ""

    def rows(self) -> list[tuple[str, str]]:
        """A pair of texts for each choice."""
        return [(self.text.strip(), _with_choice(self.question.strip(), choice.strip())) for choice in self.choices]


def _with_choice(question: str, choice: str) -> str:
    """The choice in the gap of the question, or behind it."""
    if question.count(_GAP) == 1:
        return question.replace(_GAP, choice)
    return f"{question} {choice}" if question else choice
