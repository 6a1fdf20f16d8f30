"""A corpus for `ofa_bert pretrain --elastic` out of the prose in Debian packages: one paragraph a line, shuffled.

    python benchmarks/corpus.py --directory ./tmp/debian --output ./tmp/corpus.txt
    python benchmarks/corpus.py --packages wordnet-base manpages --directory ./tmp/debian --output ./tmp/corpus.txt

Each package is downloaded (apt-get) and unpacked (dpkg) into its own folder of --directory, unless it lies there. HTML
and man pages lose their markup; what looks like no English prose, other languages and repetitions are left out. Every
package has its own free licence: its folder's usr/share/doc says which. The corpus itself is not part of this project.
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ofa_bert.errors import UserError
from ofa_bert.reporting import one_line

PACKAGES = (
    "dict-gcide wordnet-base dict-foldoc dict-jargon bible-kjv-text fortunes miscfiles debian-handbook debian-faq"
    " manpages manpages-dev developers-reference vim-doc anarchism maint-guide debian-reference-en python3.11-doc"
    " dict-devil"
).split()

# Prose has so many characters and words, of which so many are letters and blanks; a word list has no paragraphs.
LEAST_CHARACTERS, MOST_CHARACTERS, LEAST_WORDS, LEAST_LETTERS = 60, 10_000, 10, 0.82

_PACKED = (".gz", ".dz")
_NO_TEXT = (".png", ".jpg", ".js", ".css", ".index", ".epub", ".pdf", ".svg", ".dat", ".inv", ".exc")
# Folders: what pages were made from, pages once more with their code among them, other languages, notes to a checker.
_LEFT_OUT = {"_sources", "info", "locale", "lintian"}
_LANGUAGE = re.compile(r"(?!en)[a-z]{2,3}[-_][A-Za-z]{2,4}(?:@\w+)?|(?!en)[a-z]{2}")
_HAS_LANGUAGES = {"html", "man"}  # folders with a folder a language
_OF_LANGUAGE = re.compile(r"\.(?!en\b)[a-z]{2}(?:[-_][A-Za-z]{2,4})?\.(?:html?|txt|md)$")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", nargs="+", default=PACKAGES, help="names of Debian packages")
    parser.add_argument("--directory", required=True, help="where packages are, or are downloaded and unpacked to")
    parser.add_argument("--output", required=True, help="the text file")
    parser.add_argument("--seed", type=int, default=42, help="of the order")
    chosen = parser.parse_args(argv)
    for name in chosen.packages:
        if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]+", name):
            parser.error(f"--packages {one_line(name, 60)}: is no name of a Debian package, such as wordnet-base")
    return chosen


def main(argv: Sequence[str] | None = None) -> None:
    chosen = parse(argv)
    found: dict[str, str] = {}  # the letters of a text -> the text
    for name in dict.fromkeys(chosen.packages):
        folder, before, seen = unpacked(name, Path(chosen.directory)), len(found), 0
        for text in texts_of(folder):
            found.setdefault("".join(filter(str.isalnum, text.casefold())), text)
            seen += 1
        print(f"{name}: {len(found) - before} texts, {seen - len(found) + before} repetitions left out", flush=True)
    texts = sorted(found.values())
    if not texts:
        raise UserError(f"--packages {' '.join(chosen.packages)}: hold no prose; name others")
    random.Random(chosen.seed).shuffle(texts)
    output = Path(chosen.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    words = sum(text.count(" ") + 1 for text in texts)
    print(f"{output}: {len(texts)} texts, {words} words, {output.stat().st_size / 1e6:.1f} MB")


def unpacked(name: str, directory: Path) -> Path:
    """The folder with the files of a package, downloaded and unpacked where it is not there."""
    folder = directory / name
    if folder.is_dir():
        return folder
    directory.mkdir(parents=True, exist_ok=True)
    if not _packages(name, directory):
        _run(name, ["apt-get", "download", name], directory)
    new = directory / f".{name}.new"  # a killed run leaves no half of a folder
    shutil.rmtree(new, ignore_errors=True)
    _run(name, ["dpkg", "-x", str(max(_packages(name, directory)).resolve()), str(new.resolve())], directory)
    return new.rename(folder)


def _packages(name: str, directory: Path) -> list[Path]:
    return list(directory.glob(f"{name}_*.deb"))


def _run(name: str, words: Sequence[str], directory: Path) -> None:
    program = words[0]
    if shutil.which(program) is None:
        raise UserError(
            f"--packages {name}: needs {program}, which is not there; on another system unpack the package into"
            f" {directory / name}"
        )
    done = subprocess.run(words, cwd=directory, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise UserError(f"--packages {name}: {program} failed: {one_line(said, 120)}")


def texts_of(folder: Path) -> Iterator[str]:
    """The paragraphs of prose in a package's files, each one line."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not path.is_symlink() and not _foreign(parts):
            for paragraph in paragraphs(path):
                line = " ".join(paragraph.split())
                if is_prose(line):
                    yield line


def _foreign(parts: Sequence[str]) -> bool:
    """Whether a file's path says that it is in another language, or is left out for another reason."""
    if _LEFT_OUT & set(parts) or _OF_LANGUAGE.search(parts[-1].removesuffix(".gz")):
        return True
    return any(above in _HAS_LANGUAGES and _LANGUAGE.fullmatch(below) for above, below in pairwise(parts))


def is_prose(line: str) -> bool:
    if not LEAST_CHARACTERS <= len(line) <= MOST_CHARACTERS or line.count(" ") + 1 < LEAST_WORDS:
        return False
    return sum(letter.isalpha() or letter == " " for letter in line) >= LEAST_LETTERS * len(line)


def paragraphs(path: Path) -> list[str]:
    """Of a file of any kind, without its markup; none where it is no text."""
    raw, name = path.read_bytes(), path.name.lower()
    if name.endswith(_PACKED):
        try:
            raw, name = gzip.decompress(raw), name[:-3]
        except (OSError, EOFError, zlib.error):
            return []
    if name.endswith(_NO_TEXT) or b"\0" in raw[:4096]:
        return []
    text = raw.decode("utf-8", "ignore")
    if name.startswith("data.") and "wordnet" in path.parts:
        return [line.partition("|")[2] for line in text.splitlines()]  # what stands before is numbers
    if name.endswith((".html", ".htm")):
        return _of_html(text)
    if "man" in path.parts:
        return _of_man_page(text)
    if name.endswith(".dict"):
        text = re.sub(r"\[[^][]*\]", "", text)  # where a word comes from, and an entry
    text = re.sub(r"(?m)^%$", "\n", text)  # between two fortunes
    text = re.sub(r"\]\([^)\s]*\)", "]", text)  # where a link of Markdown leads
    return re.split(r"\n\s*\n", re.sub(r"[][{}\\_*`#]", "", text))


class _Prose(HTMLParser):
    """Text without tags; a blank line at every element that begins or ends a paragraph."""

    SKIPPED = frozenset({"script", "style", "pre", "head", "nav"})
    INLINE = frozenset(
        "a abbr acronym b bdi bdo big cite code dfn em font i kbd mark q s samp small span strong sub sup tt u"
        " var".split()
    )

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []  # elements that are skipped

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in self.SKIPPED:
            self._inside.append(tag)
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:  # also where one inside of it was never closed
            del self._inside[self._inside.index(tag) :]
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._inside:
            self.found.append(data.replace("\n", " ").replace("\u00b6", ""))

    def _break(self, tag: str) -> None:
        if tag not in self.INLINE:
            self.found.append("\n\n")


def _of_html(text: str) -> list[str]:
    parser = _Prose()
    parser.feed(text)
    parser.close()
    return "".join(parser.found).split("\n\n")


_FONTS = {"B", "I", "R", "SM", "SB"}  # requests whose words stand in the sentence
_TWO_FONTS = {"BR", "RB", "IR", "RI", "BI", "IB"}  # and those whose words, in turn, are one
_NO_PROSE = {"nf": "fi", "TS": "TE", "EX": "EE", "EQ": "EN", "de": "."}  # beginning -> end: examples, tables, macros
_CHARACTERS = {"aq": "'", "oq": "'", "cq": "'", "lq": '"', "rq": '"', "dq": '"', "em": "-", "en": "-", "ti": "~"}


def _of_man_page(text: str) -> list[str]:
    lines: list[str] = []
    until = ""
    for line in text.splitlines():
        request, _, rest = line[1:].strip().partition(" ")
        if until:
            until = "" if line[:1] == "." and request == until else until
        elif line[:1] not in (".", "'"):
            lines.append(line)
        elif request in _NO_PROSE:
            until = _NO_PROSE[request]
            lines.append("")
        elif request in _FONTS:
            lines.append(rest.replace('"', ""))
        elif request in _TWO_FONTS:
            words = re.findall(r'"([^"]*)"|(\S+)', rest)
            lines.append("".join(quoted or plain for quoted, plain in words))
        elif not request.startswith('\\"'):  # no comment: a heading, a list, a new paragraph
            lines.append("")
    return re.split(r"\n\s*\n", _without_escapes("\n".join(lines)))


def _without_escapes(text: str) -> str:
    text = re.sub(r'\\".*', "", text)
    text = re.sub(r"\\f(?:\[[^]]*\]|\(..|.)|\\s[-+]?\d|\\[&|^/,:%]", "", text)
    text = re.sub(r"\\\((..)|\\\[([^]]*)\]", lambda found: _CHARACTERS.get(found[1] or found[2], ""), text)
    return re.sub(r"\\([-~ e'`])", lambda found: {"~": " ", "e": "\\"}.get(found[1], found[1]), text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
