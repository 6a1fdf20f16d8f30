"""What the names of transformers' classes of models end with, after "For"."""

from __future__ import annotations

ONE_LABEL, TAGS = "SequenceClassification", "TokenClassification"
CONTEXTS, OPTIONS = "QuestionAnswering", "MultipleChoice"
