"""report.html: a page that stands alone, whose numbers are the files', with nothing of the data run as a script."""

import base64
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from helpers import run_directories
from helpers.paths import ROOT
from helpers.run_directories import KINDS, LABELS, SHAPE
from ofa_bert.__main__ import main
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.cli.page import leave_page
from ofa_bert.report import page
from ofa_bert.report.page import write_page
from ofa_bert.report.run_files import RunFiles
from ofa_bert.report.sections import curves
from ofa_bert.reporting import pyplot

VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Elements that are closed in their order, texts, and the cells of tables."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.texts, self.cells = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag == "td":
            self.cells.append([dict(attrs), ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.texts.append(data)
        if "td" in self.open:
            self.cells[-1][1] += data

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def tags(self, name):
        return [attributes for tag, attributes in self.elements if tag == name]

    @property
    def numbers(self):
        """(exact value, shown text) of every cell that holds a number of a record."""
        return [(float(about["data-value"]), text) for about, text in self.cells if "data-value" in about]


def page_in(directory):
    return Page((directory / "report.html").read_text("utf-8"))


def numbers_in(value):
    """Every number of a record; of a list also how many it holds, such as the layers of a sub-model."""
    if isinstance(value, dict):
        for each in value.values():
            yield from numbers_in(each)
    elif isinstance(value, list):
        yield len(value)
        for each in value:
            yield from numbers_in(each)
    elif type(value) in (int, float):
        yield float(value)


def recorded(directory):
    return {number for path in directory.rglob("*.json") for number in numbers_in(json.loads(path.read_text()))}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Kind -> a directory with its page, made when it is first asked for."""

    class Made(dict):
        def __missing__(self, kind):
            self[kind] = KINDS[kind](tmp_path_factory.mktemp("runs") / kind)
            assert write_page(self[kind], "ofa-bert <command> --data_dir 'a b'")[1] == ""
            return self[kind]

    return Made()


@pytest.fixture
def undrawn(monkeypatch):
    """For what looks at no picture: drawing takes the longest."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_whole_and_needs_nothing_else(made, kind):
    pages = sorted(made[kind].rglob("report.html"))
    assert len(pages) == {"demo": 3, "tune": 2, "recipe": 2}.get(kind, 1)
    for path in pages:
        found = page_in(path.parent)
        assert found.elements[0][0] == "html"
        names = [about["id"] for _, about in found.elements if "id" in about]
        assert len(names) == len(set(names))
        for tag, about in found.elements:
            assert tag not in ("script", "link", "iframe", "object", "img"), tag
            assert not [name for name in about if name.startswith("on")], about
            for name in ("href", "src", "xlink:href"):
                target = about.get(name, "#")
                inner = target.startswith(("#", "data:image/png;base64,"))
                assert inner or (path.parent / target).is_file(), target
        text = path.read_text("utf-8")
        assert set(re.findall(r"url\((.)", text)) <= {"#"}
        assert "viewport" in [about.get("name") for about in found.tags("meta")]
        assert "prefers-color-scheme: dark" in text
        for picture in found.tags("svg"):
            assert picture["role"] == "img"
            assert picture["aria-label"]
            assert not {"width", "height"} & set(picture)  # as wide as there is room


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_of_a_table_is_the_records(made, kind):
    for path in made[kind].rglob("report.html"):
        known = recorded(path.parent)
        for exact, shown in page_in(path.parent).numbers:
            assert exact in known, (exact, shown)


def test_a_cell_shows_the_number_that_it_holds(made):
    """Rounded to its last digit, in its unit."""
    units = {" M": 1e6, " %": 0.01}
    seen = 0
    for kind in KINDS:
        for exact, shown in page_in(made[kind]).numbers:
            if shown.endswith("nan") or exact > 1e9:
                continue
            unit = next((size for end, size in units.items() if shown.endswith(end)), 1.0)
            text = shown.replace(",", "").rstrip("M×% ")
            digits = text.partition("e")[0].partition(".")[2]
            power = int(text.partition("e")[2] or 0)
            value = exact / unit
            near = math.isclose(value, float(text), abs_tol=0.51 * 10.0 ** (power - len(digits)))
            in_mib = math.isclose(value / 2**20, float(text), abs_tol=0.06)
            in_giga = math.isclose(value / 1e9, float(text), abs_tol=0.006)
            assert near or in_mib or in_giga, (kind, exact, shown)
            seen += 1
    assert seen > 200


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_data_becomes_markup(made, kind):
    for path in made[kind].rglob("report.html"):
        found = page_in(path.parent)
        assert {tag for tag, _ in found.elements} & {"script", "i", "u"} == set()
        assert [about for about in found.tags("b") if about] == []
    found = page_in(made[kind])
    assert "ofa-bert <command> --data_dir 'a b'" in found.text
    if kind in ("evaluate", "finetune", "supernet"):
        assert LABELS[0] in found.text
        assert LABELS[1] in found.text


def test_the_page_of_a_supernet_says_what_there_is_to_know(made):
    found = page_in(made["supernet"])
    links = [about["href"] for about in found.tags("a")]
    assert links == [f"#{about['id']}" for about in found.tags("section") if "id" in about]
    for title in ("Training", "Sub-models", "Importance", "Data", "On test data", "Settings", "Versions"):
        assert title in found.texts
    pictures = {about["aria-label"] for about in found.tags("svg")}
    assert pictures == {
        "Score by parameters", "Score by operations", "Loss", "Learning rate", "Score of each evaluation",
        "Importance of attention heads", "Importance of FFN neurons",
    }  # fmt: skip
    for word in ("teacher", "w0.5_d0.5", "311", "seed", "paddlepaddle", "2.6.2", "the longest 77", "1 min 37 s"):
        assert word in found.text, word
    for name in ("by_parameters", "losses", "importance_heads"):
        assert (made["supernet"] / f"report-{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_confusion_matrix_and_every_label_stand_in_the_page_of_an_evaluation(made):
    found = page_in(made["evaluate"])
    shown = [text for _, text in found.cells]
    row = shown.index(LABELS[0], shown.index(LABELS[2]) + 1)
    assert shown[row : row + 4] == [LABELS[0], "8", "2", "0"]
    assert {"Labels and answers, dev", "Reliability, dev"} <= {about["aria-label"] for about in found.tags("svg")}
    assert "Expected calibration error 0.0321" in found.text


def test_latency_tables_tell_what_sub_models_take(tmp_path, undrawn):
    run = run_directories.supernet(tmp_path / "run")
    table = LatencyTable(SHAPE, 0.5, 0.25, {1: 0.1, 4: 0.4}, {1: 0.1, 64: 0.6}, {"backend": "onnx_runtime", "batch": 1})
    table.save(tmp_path / "cpu.json")
    assert main(["report", str(run), "--latency_table", str(tmp_path / "cpu.json")]) == 0
    found = page_in(run)
    wanted = [table.predict(sub_model) for sub_model in run_directories.SPACE.sub_models().values()]
    assert set(wanted) <= {exact for exact, _ in found.numbers}
    assert "ms (onnx_runtime, batch 1)" in found.texts
    assert "No latency is known here" not in found.text


def test_a_run_without_a_log_has_the_curve_of_its_history(tmp_path):
    run = run_directories.finetune(tmp_path / "run", logged=False)
    write_page(run)
    pictures = {about["aria-label"] for about in page_in(run).tags("svg")}
    assert pictures == {"Score of each evaluation"}


def test_a_run_that_still_trains_has_a_page(tmp_path, undrawn):
    run = run_directories.supernet(tmp_path / "run")
    (run / "results.json").unlink()
    write_page(run)
    found = page_in(run)
    assert {"Loss", "Score of each evaluation"} <= set(found.texts)
    assert (
        "ofa-bert supernet --output_dir 'o <b>' --seed 7 --augment 0.0 --device cpu --width_mult_list 1.0 0.5"
        in found.text
    )


def test_without_matplotlib_the_page_says_which_pictures_are_missing(tmp_path, undrawn, capsys):
    run = run_directories.supernet(tmp_path / "run")
    assert main(["report", str(run)]) == 0
    assert 'matplotlib is not installed; pip install ".[measure]"' in capsys.readouterr().err
    found = page_in(run)
    assert found.tags("svg") == []
    assert list(run.glob("*.png")) == []
    assert found.text.count("This picture is missing: matplotlib is not installed") == 7
    assert "Score by parameters" in found.texts
    assert found.numbers


def test_commands_are_kept_for_the_pages_after_them(tmp_path, undrawn):
    run = run_directories.finetune(tmp_path / "run")
    for command in ("first --a 1", "second", "second"):
        write_page(run, command)
    write_page(run)
    found = page_in(run)
    assert len(found.tags("pre")) == 2
    assert found.text.index("first --a 1") < found.text.index("second")


def test_the_command_line_says_what_is_no_run(tmp_path, capsys):
    for words, said in (
        (["report", str(tmp_path / "none")], f"error: --output_dir {tmp_path / 'none'}: no such directory; take a"),
        (["report", str(tmp_path)], f"error: --output_dir {tmp_path}: holds no results; take a"),
        (["report"], "error: --output_dir is required: the directory that"),
    ):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert err.startswith(said), err
        assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.json", '{"best": [{"name": 3}]}'),
        ("results.json", '{"best": {"step": "x", "score": 0.5}}'),
        ("results.json", '{"best": []'),
        ("results.json", '{"data": {"parts": {"train": 3}}}'),
        ("results.json", '{"seconds": -1}'),
        ("importance.json", '{"heads": [[1], [2, 3]], "neurons": [[1]]}'),
        ("importance.json", '{"heads": [], "neurons": [[1]]}'),
        ("log.jsonl", '{"step": "x"}\n'),
        ("log.jsonl", "no json\n"),
        ("report.json", '{"commands": 3}'),
        ("ofa_run.json", '{"what": []}'),
        ("front.json", "{}"),
        ("scores.json", '{"splits": [{"split": "a", "examples": 1, "scores": {}, "confusion": [[1]]}]}'),
        ("exits.json", '{"held_out": {}}'),
        ("rows.json", '{"rows": [{"stage": 1}]}'),
    ],
)
def test_a_file_that_no_run_wrote_is_one_line(tmp_path, capsys, name, content):
    run = run_directories.supernet(tmp_path / "run")
    (run / name).write_text(content)
    assert main(["report", str(run)]) == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert name in err, err


def test_a_page_that_fails_does_not_fail_the_training(tmp_path, monkeypatch, caplog):
    def breaks(*arguments, **named):
        raise ZeroDivisionError("by zero\nsecond line")

    run = run_directories.finetune(tmp_path / "run")
    monkeypatch.setattr(page, "write_page", breaks)
    leave_page(str(run), "finetune", ["--a"])
    (told,) = [record for record in caplog.records if record.name == "ofa_bert.cli.page"]
    assert told.levelname == "WARNING"
    assert told.getMessage() == f"{run}: no report.html: by zero"


def test_a_command_leaves_the_words_that_started_it(tmp_path, undrawn, monkeypatch):
    run = run_directories.finetune(tmp_path / "run")
    monkeypatch.setattr(sys, "argv", ["somewhere/run_glue.py", "--text_columns", "a b"])
    leave_page(str(run), "finetune", None)
    assert "python run_glue.py --text_columns 'a b'" in page_in(run).text
    assert json.loads((run / "report.json").read_text()) == {"commands": ["python run_glue.py --text_columns 'a b'"]}


def test_the_same_files_make_the_same_page(tmp_path):
    pages = []
    for name in ("a", "b"):
        run = run_directories.finetune(tmp_path / name / "run")
        write_page(run)
        pages.append((run / "report.html").read_text())
    assert pages[0] == pages[1]


def test_a_page_is_made_without_paddle(tmp_path):
    run = run_directories.evaluation(tmp_path / "run")
    code = "import sys; from ofa_bert.__main__ import main; print(main(sys.argv[1:]), 'paddle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, "report", str(run)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stderr


@pytest.mark.parametrize(
    ("kind", "file"), [("search", "front.png"), ("family", "family.png"), ("threshold", "exits.png")]
)
def test_a_picture_that_the_command_drew_is_in_the_page(tmp_path, kind, file):
    directory = KINDS[kind](tmp_path / kind)
    before, _ = write_page(directory)
    assert not Page(before.read_text(encoding="utf-8")).tags("img")
    (directory / file).write_bytes(b"\x89PNG picture")
    after, _ = write_page(directory)
    (image,) = Page(after.read_text(encoding="utf-8")).tags("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == b"\x89PNG picture"


@pytest.mark.parametrize(("kind", "axis"), [("finetune", "score"), ("supernet", "accuracy")])
def test_the_axis_of_scores_says_score_where_several_metrics_are_drawn(tmp_path, kind, axis):
    section = curves.section(RunFiles.read(KINDS[kind](tmp_path / kind)))
    (chart,) = (part for part in section.parts if part.name == "scores")
    drawn = pyplot().subplots(layout="constrained")[1]
    chart.draw(drawn)
    assert drawn.get_ylabel() == axis
