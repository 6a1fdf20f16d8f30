"""HTML put together from values. What is no `Html` is text from elsewhere, and is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TypeAlias

# Characters that no page may hold: control characters, and halves of surrogate pairs.
_NONE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
VOID = frozenset({"meta", "br", "img"})  # elements that are never closed


class Html(str):
    """A text that is HTML already."""

    __slots__ = ()


Part: TypeAlias = "Html | str | None"


def escaped(text: str) -> Html:
    """A text from elsewhere, also as the value of an attribute."""
    return Html(html.escape(_NONE.sub("\N{REPLACEMENT CHARACTER}", text), quote=True))


def joined(parts: Iterable[Part]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escaped(part) for part in parts if part is not None))


def element(kind: str, /, *parts: Part, **attributes: str | None) -> Html:
    """`<kind ...>parts</kind>`; of attributes, `class_` is class and `data_value` data-value; None leaves one out.

    >>> element("td", "<b>", class_="number", data_value="0.5")
    '<td class="number" data-value="0.5">&lt;b&gt;</td>'
    """
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{kind}{said}>" if kind in VOID else f"<{kind}{said}>{joined(parts)}</{kind}>")
