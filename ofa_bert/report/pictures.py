"""Charts as SVG for the page, in its own colours, and as PNG files beside it."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from ofa_bert.files.atomic import write_bytes_atomic
from ofa_bert.report.html import Html, element, escaped
from ofa_bert.report.values import Chart, Picture
from ofa_bert.reporting import pyplot

# Colours that can be told apart on white as on black.
PALETTE = ("#2f6fde", "#e0662b", "#2a9d6e", "#b04bc4", "#c2a11a", "#1aa3b8", "#d6457a", "#7b7f8c", "#8a5a2b", "#5a6fb0")
_INK = "#010203"  # next to black; in a page it stands for the colour of the text
_DPI = 144  # of the PNG files, and of what an SVG holds as pixels
_LOOK: dict[str, object] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "grid.color": "#808080",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "svg.fonttype": "none",  # text stays text: small, and readable by programs
    "text.parse_math": False,  # a $ in a label is a $
}


def figure(chart: Chart, directory: Path, missing: str) -> Html:
    """The chart with its title, drawn; its PNG goes into `directory`. missing: why nothing can be drawn, or ""."""
    title = element("strong", chart.title)
    note = element("figcaption", chart.note) if chart.note else None
    if missing:
        return element("figure", title, _missing(missing), note)
    svg, png = _drawn(chart)
    write_bytes_atomic(directory / file_of(chart), png)
    return element("figure", title, _in_page(svg.decode("utf-8"), chart.title), note)


def shown(picture: Picture, directory: Path, missing: str) -> Html | None:
    """A picture that the command left beside the page, in it; None where it left none though it could have."""
    path, title = directory / picture.file, element("strong", picture.title)
    if path.is_file():
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        return element("figure", title, element("img", src=source, alt=picture.title))
    return element("figure", title, _missing(missing)) if missing else None


def _missing(why: str) -> Html:
    return element("div", f"This picture is missing: {why}", class_="missing")


def file_of(chart: Chart) -> str:
    return f"report-{chart.name}.png"


def _in_page(svg: str, title: str) -> Html:
    """An SVG as an element of the page: in the page's colour of text, as wide as there is room."""
    text = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    # Names of groups, which nothing refers to, are the same in every picture; a page must have each once.
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    opening, rest = text.split(">", 1)
    opening = re.sub(r' (?:width|height)="[^"]*"', "", opening)
    return Html(opening.replace("<svg", f'<svg role="img" aria-label="{escaped(title)}"', 1) + ">" + rest)


def _drawn(chart: Chart) -> tuple[bytes, bytes]:
    """(SVG, PNG) of one drawing."""
    plt = pyplot()
    from cycler import cycler

    colours = {name: _INK for name in ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")}
    look = {**_LOOK, **colours, "axes.prop_cycle": cycler(color=PALETTE), "svg.hashsalt": chart.name}
    made = {"svg": io.BytesIO(), "png": io.BytesIO()}
    with plt.rc_context(look):
        drawing, axis = plt.subplots(figsize=chart.size, layout="constrained")
        try:
            chart.draw(axis)
            engine = drawing.get_layout_engine()  # none where names were placed by pixels already
            for _ in range(2 if axis.images else 1):  # a square is placed before what stands around it is measured
                if engine is not None:
                    engine.execute(drawing)
            drawing.set_layout_engine("none")  # else everything would be measured again for every file
            about = {"Date": None}  # the same run is the same file
            drawing.savefig(made["svg"], format="svg", dpi=_DPI, transparent=True, metadata=about)
            drawing.savefig(made["png"], format="png", dpi=_DPI)
        finally:
            plt.close(drawing)
    return made["svg"].getvalue(), made["png"].getvalue()
