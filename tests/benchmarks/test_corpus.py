"""A corpus out of Debian packages, on packages made here: what is prose, markup, repetitions, and missing programs."""

import gzip
import shutil
import subprocess
import sys

import pytest

from helpers.paths import ROOT
from ofa_bert.errors import UserError

sys.path.insert(0, str(ROOT / "benchmarks"))

import corpus

SAID = "a paragraph of plain prose has to be long enough that nobody takes it for a heading or a table"


def prose(about):
    return f"{about} is what {SAID}."


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if path.suffix in (".gz", ".dz") else data)


@pytest.fixture
def debian(tmp_path):
    """Two unpacked packages."""
    share = tmp_path / "debian" / "one" / "usr" / "share"
    lines = prose("A text of\ntwo lines")
    write(share / "doc" / "one" / "notes.txt.gz", f"Heading\n\n{lines}\n\nshort\n\n{prose('Said twice')}\n")
    write(share / "dictd" / "one.dict.dz", f"{{word}}\n\n   1. {prose('A _word_ of a {dictionary}')}\n      [Here]\n")
    write(share / "games" / "fortunes" / "wise", f"{prose('One fortune')}\n%\n{prose('Another fortune')}\n")
    write(share / "doc" / "one" / "linked.md", prose("A [linked](other.md#part) word"))
    write(share / "info" / "one.info.gz", prose("A page once more"))
    write(share / "dict" / "words", "aardvark abacus\n" * 900)
    write(share / "doc" / "one" / "numbers.txt", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25\n")
    (share / "doc" / "one" / "image.txt").write_bytes(b"\x89PNG\0\0" + prose("No image").encode())
    (share / "doc" / "one" / "broken.txt.gz").write_bytes(b"\x1f\x8b not gzip")
    (share / "doc" / "one" / "link.txt").symlink_to("numbers.txt")
    html = f"<html><head><title>{prose('A title')}</title></head><body><script>{prose('A script')}</script>"
    html += f"<nav>{prose('A menu')}</nav><h1>Top</h1>"
    html += "<p>" + prose("An <em>emphasised</em>\nword &amp; another") + "</p>"
    html += f"<pre>{prose('An example')}</pre><ul><li>{prose('SAID,   twice')}</li></ul><pre>never closed"
    write(share / "doc" / "one" / "html" / "page.html", html)
    write(share / "doc" / "one" / "html" / "de-DE" / "page.html", f"<p>{prose('German')}</p>")
    write(share / "doc" / "one" / "page.fr.html", f"<p>{prose('French')}</p>")
    write(share / "doc" / "one" / "html" / "en-GB" / "page.en.html", f"<p>{prose('British')}</p>")
    other = tmp_path / "debian" / "two-1.5" / "usr" / "share"
    man = '.\\" a comment\n.TH TWO 2\n.SH NAME\ntwo \\- short\n.SH DESCRIPTION\nThe\n.BR open (2)\n'
    man += '.I "call"\nof \\fBtwo\\fP,'
    man += f' or \\(aqtwo\\(aq, {SAID}\n.\\" another comment\nand ends here.\n.PP\n.nf\n{prose("Code")}\n.fi\n.TP\n'
    man += f".B \\-x\n{prose('An option')}\n"
    write(other / "man" / "man2" / "two.2.gz", man)
    write(other / "man" / "de" / "man2" / "two.2.gz", f".SH NAME\n{prose('A translation')}\n")
    gloss = f'00001740 03 n 01 entity 0 003 ~ 0000 n 0000 | {prose("A gloss")}; "an example"  \n'
    write(tmp_path / "debian" / "two-1.5" / "usr" / "share" / "wordnet" / "data.noun", f"  1 A licence\n{gloss}")
    return tmp_path / "debian"


def made(debian, output, *more):
    corpus.main(["--packages", "one", "two-1.5", "--directory", str(debian), "--output", str(output), *more])
    return output.read_text(encoding="utf-8").splitlines()


def test_prose_alone_is_kept_once_without_its_markup(debian, tmp_path, capsys):
    lines = made(debian, tmp_path / "out" / "corpus.txt")
    wanted = [
        prose("A text of two lines"),
        prose("SAID, twice"),  # the first of the two
        f"1. {prose('A word of a dictionary')}",
        prose("One fortune"),
        prose("Another fortune"),
        prose("An emphasised word & another"),
        prose("British"),
        prose("A linked word"),
        f"The open(2) call of two, or 'two', {SAID} and ends here.",
        f"-x {prose('An option')}",
        f'{prose("A gloss")}; "an example"',
    ]
    said = set(lines)
    assert sorted(lines) == sorted(wanted), (said - set(wanted), set(wanted) - said)
    printed = capsys.readouterr().out
    assert "one: 8 texts, 1 repetitions left out" in printed
    assert "two-1.5: 3 texts, 0 repetitions left out" in printed
    assert f"corpus.txt: 11 texts, {sum(len(line.split()) for line in lines)} words" in printed


def test_the_seed_says_the_order(debian, tmp_path):
    first, again, other = (made(debian, tmp_path / f"{n}.txt", "--seed", seed) for n, seed in enumerate("112"))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("word " * 12, True),
        ("word " * 11 + "wor", False),  # 59 characters once it is stripped
        ("a" * 80, False),
        ("abcdefg " * 9 + "x", True),
        ("abcdefgh " * 9, False),  # nine words
        ("word 12 " * 12, False),
        ("word " * 2000, True),
        ("word " * 2001, False),
    ],
)
def test_what_looks_like_prose(line, kept):
    assert corpus.is_prose(line.strip()) is (kept and 60 <= len(line.strip()) <= 10_000)


def refused(*words):
    with pytest.raises(UserError) as found:
        corpus.main([*words])
    return str(found.value)


def test_what_is_not_there_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    words = ["--packages", "none", "--directory", str(tmp_path / "debian"), "--output", str(tmp_path / "c.txt")]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "--packages none: needs apt-get, which is not there; on another system unpack the package" in refused(*words)
    (tmp_path / "debian" / "none_1_all.deb").write_bytes(b"")
    assert "--packages none: needs dpkg, which is not there" in refused(*words)
    program = tmp_path / "dpkg"
    program.write_text("#!/bin/sh\necho warning >&2\necho error: no archive >&2\nexit 2\n")
    program.chmod(0o755)
    assert refused(*words) == "--packages none: dpkg failed: error: no archive"
    (tmp_path / "debian" / "none").mkdir()
    assert "--packages none: hold no prose" in refused(*words)
    with pytest.raises(SystemExit):
        corpus.parse(["--packages", "-o", "x", "--directory", "d", "--output", "o"])
    with pytest.raises(SystemExit):
        corpus.parse(["--packages", "../up", "--directory", "d", "--output", "o"])
    assert "../up: is no name of a Debian package" in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs dpkg")
def test_a_package_is_unpacked_once(debian, tmp_path):
    control = debian / "one" / "DEBIAN" / "control"
    write(control, "Package: one\nVersion: 1\nArchitecture: all\nMaintainer: no <no@one>\nDescription: none\n")
    built = tmp_path / "debs" / "one_1_all.deb"
    built.parent.mkdir()
    subprocess.run(["dpkg-deb", "--build", str(debian / "one"), str(built)], check=True, capture_output=True)
    words = ["--packages", "one", "--directory", str(built.parent), "--output", str(tmp_path / "c.txt")]
    corpus.main(words)
    first = (tmp_path / "c.txt").read_text()
    assert first.count("\n") == 8
    built.unlink()
    corpus.main(words)
    assert (tmp_path / "c.txt").read_text() == first
