"""Columns of a file without a header by names, as EasyNLP gives them: label:str:1,sid1:str:1,sent1:str:1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ofa_bert.data.table_files import read_table
from ofa_bert.errors import UserError
from ofa_bert.files.fields import Fields
from ofa_bert.options import option, unused
from ofa_bert.reporting import shown

_TYPES = ("str", "int", "float")
_LABEL = "label"
_NAMES = ("first_sequence", "second_sequence")


def names_of(schema: str) -> tuple[str, ...]:
    """The names of the columns, in their order; UserError for what is no schema."""
    parts = [part.strip() for part in schema.split(",")]
    names = []
    for part in parts:
        name, _, rest = part.partition(":")
        kind, _, count = rest.partition(":")
        if not name or (rest and kind not in _TYPES) or (count or "1") != "1":
            raise UserError(
                f"`input_schema` {shown(schema)}: {shown(part)} is no column; write each as name:type:1, the type one"
                f" of {', '.join(_TYPES)}, with commas between, such as label:str:1,sent1:str:1"
            )
        names.append(name)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UserError(f"`input_schema` {shown(schema)}: {shown(twice[0])} stands there twice; give it two names")
    return tuple(names)


@dataclass(frozen=True, kw_only=True)
class TextSchema:
    """The columns of a file without a header, by names."""

    input_schema: str | None = option(
        "columns of files without a header, as EasyNLP names them: name:type:1 for each, such as"
        " label:str:1,sid1:str:1,sent1:str:1; then `first_sequence` says which holds the text",
        None,
    )
    first_sequence: str | None = option("name in `input_schema` of the column with the text, or the first text", None)
    second_sequence: str | None = option("name in `input_schema` of the column with the second text", None)

    def problems(self) -> list[str]:
        if self.input_schema is None:
            return unused(self, _NAMES, "names a column of `input_schema`; give that too")
        try:
            names_of(self.input_schema)
        except UserError as error:
            return [str(error)]
        found = [problem for name in _NAMES for problem in self._unknown(name)]
        return found if self.first_sequence else [*found, "`input_schema` needs `first_sequence`, which holds the text"]

    def _unknown(self, option_name: str) -> list[str]:
        value, names = getattr(self, option_name), names_of(self.input_schema or "")
        if value is None or value in names:
            return []
        return [f"`{option_name}` {shown(value)}: `input_schema` has {', '.join(names)}"]

    def clashes(self, text_columns: Sequence[str] | None) -> list[str]:
        """Problems beside an option that says the same in another way."""
        if self.input_schema is None or text_columns is None:
            return []
        return ["`input_schema` says by `first_sequence` where the text is: leave `text_columns` out"]


@dataclass(frozen=True, kw_only=True)
class LabelledSchema(TextSchema):
    """The same of a file with labels."""

    label_name: str | None = option(f"name in `input_schema` of the label's column; default: {_LABEL}", None)

    def problems(self) -> list[str]:
        if self.input_schema is None:
            return super().problems() + unused(self, ("label_name",), "names a column of `input_schema`; give that too")
        found = super().problems()
        if found:
            return found
        name, names = self.label_name or _LABEL, names_of(self.input_schema)
        return [] if name in names else [f"`label_name` {shown(name)}: `input_schema` has {', '.join(names)}"]

    @classmethod
    def recorded(cls, settings: Fields) -> LabelledSchema:
        """What a run recorded among its settings."""
        names = ("input_schema", *_NAMES, "label_name")
        return cls(**{name: settings.text(name, default=None) for name in names})


def text_places(schema: TextSchema) -> tuple[str, ...] | None:
    """Which columns hold the texts, as numbers; None without a schema."""
    if schema.input_schema is None:
        return None
    names = (schema.first_sequence, schema.second_sequence)
    return tuple(place_of(schema, name) for name in names if name is not None)


def label_places(schema: LabelledSchema) -> tuple[str, ...] | None:
    """Which column holds the label, as a number; None without a schema."""
    return None if schema.input_schema is None else (place_of(schema, schema.label_name or _LABEL),)


def place_of(schema: TextSchema, name: str) -> str:
    """The number of a column, from 0, as a word."""
    names = names_of(schema.input_schema or "")
    if name not in names:
        raise UserError(f"{shown(name)}: `input_schema` has {', '.join(names)}")
    return str(names.index(name))


def check_width(schema: TextSchema, *files: str | None) -> None:
    """UserError for a file with another number of columns: each name would stand for the wrong one."""
    if schema.input_schema is None:
        return
    wanted = len(names_of(schema.input_schema))
    for file in files:
        width = wanted if file is None else len(read_table(file, has_header=False).header)
        if width != wanted:
            raise UserError(f"{file}: has {width} columns, `input_schema` names {wanted}; name every column of it")
