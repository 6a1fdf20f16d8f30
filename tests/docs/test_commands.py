"""The pages: every command is parsed by its real parser, every link leads somewhere, README.md stays short."""

import importlib
import re
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest

from helpers import pages
from helpers.paths import ROOT
from ofa_bert.cli import launch
from ofa_bert.cli.commands import registry
from ofa_bert.cli.parser import GENERAL, parse
from ofa_bert.errors import UserError
from ofa_bert.options import options_of

README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCRIPTS = ("run_glue.py", "run_glue_ofa.py", "export_model.py")
MOST_LINES = 150  # of README.md
COMING: set[str] = set()  # linked to before they are there
ELSEWHERE = {
    "--help",
    "--version",
    *(f"--{name}" for name in GENERAL),
    *pages.LAUNCHER,
}  # flags that no command of ours declares
IN_REPOSITORY = re.compile(r"(ofa_bert|benchmarks|docs|requirements|tests)/[\w./-]+")


class HandedError(Exception):
    """What a command hands to the parser: the class of its job, the words, and what is refused elsewhere."""

    def __init__(self, cls, words, elsewhere):
        self.cls, self.words, self.elsewhere = cls, list(words), elsewhere


def handed(command, words):
    """What the command's own code gives to the parser; nothing of it runs after that."""

    def catch(cls, argv, *about, elsewhere=None, command=""):
        raise HandedError(cls, argv, elsewhere)

    module = importlib.import_module(f"ofa_bert.cli.commands.{command}")
    with pytest.MonkeyPatch.context() as patch:
        for each in (module, launch):  # which starts several processes
            if hasattr(each, "parse"):
                patch.setattr(each, "parse", catch)
        with pytest.raises(HandedError) as found:
            module.run(list(words))
    return found.value


@cache
def command_of(script):
    """The file in cli/commands that a script runs."""
    return re.search(r"ofa_bert\.cli\.commands\.(\w+) import main", (ROOT / script).read_text("utf-8")).group(1)


@cache
def flags_of_benchmark(script):
    """The flags that a program of benchmarks/ declares, or a file or folder beside it that it imports."""
    text, folder = (ROOT / script).read_text("utf-8"), ROOT / "benchmarks"
    beside = set(re.findall(r"^(?:from|import) (\w+)", text, re.M))
    paths = [path for name in beside for path in (folder / f"{name}.py", *(folder / name).rglob("*.py"))]
    text += "".join(path.read_text("utf-8") for path in paths if path.is_file())
    # What parses a job takes all its flags.
    jobs = {handed(name, ()).cls for name in (*map(command_of, SCRIPTS), "pretrain_elastic")}
    taken = {f"--{item.name}" for job in jobs if f"parse({job.__name__}" in text for item in options_of(job)}
    return set(re.findall(r'"(--\w+)"', text)) | taken


@cache
def every_flag():
    """The flags of all commands and of the benchmarks."""
    jobs = [
        handed(name, ()).cls
        for name in (*registry.COMMANDS, *map(command_of, SCRIPTS), "train_exits", "pretrain_elastic")
    ]
    known = {f"--{item.name}" for job in jobs for item in options_of(job)} | ELSEWHERE
    return known.union(*(flags_of_benchmark(path) for path in (ROOT / "benchmarks").glob("*.py")))


def flags_in(words):
    return [word.split("=")[0] for word in words if re.match(r"--\w", word)]


def faults_of_command(command):
    """What is wrong with a command of a page."""
    program, words, whole = command
    said = " ".join([program, *words])
    if program.startswith("benchmarks/"):
        if not (ROOT / program).is_file():
            return [f"{said}: no such program"]
        return [f"{said}: no flag {flag}" for flag in flags_in(words) if flag not in flags_of_benchmark(program)]
    if program == "ofa_bert":
        name, words = words[0] if words else "", words[1:]
        if name in ("", "--help", "--version") or (not whole and name.startswith("<")):
            return []
        name = name.replace("-", "_")
        if name not in registry.COMMANDS:
            return [f"{said}: no such command"]
    elif program in SCRIPTS:
        name = command_of(program)
    else:
        return []
    found = handed(name, words)
    known = {f"--{item.name}" for item in options_of(found.cls)} | ELSEWHERE - pages.LAUNCHER
    wrong = [f"{said}: no flag {flag}" for flag in flags_in(words) if flag not in known]
    if whole and not wrong:
        try:
            parse(found.cls, found.words, "", elsewhere=found.elsewhere)
        except UserError as error:
            wrong.append(f"{said}: {error}")
    return wrong


def faults_of_spans(text):
    """Inline code that names a flag or a file that there is not."""
    found = []
    for span in pages.spans(text):
        if span.startswith("--"):
            found += [f"{span}: no flag {flag}" for flag in flags_in(span.split()) if flag not in every_flag()]
        elif IN_REPOSITORY.fullmatch(span) and not (ROOT / span).exists():
            found.append(f"{span}: no such file")
    return found


def faults_of_set_up(text):
    """make's targets and pip's extras that there are not."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    extras = set(re.findall(r'^    "(\w+)": ', (ROOT / "setup.py").read_text("utf-8"), re.M))
    lines = [line.split("#")[0].strip() for line in (*pages.lines_of_blocks(text), *pages.spans(text))]
    made = [line.split()[1] for line in lines if re.fullmatch(r"make [a-z0-9-]+( [A-Z]+=\S+)*", line)]
    wanted = [name for line in lines for name in re.findall(r"(?:ofa_bert|\.)\[(\w+)\]", line)]
    return [f"make {name}: no such target" for name in made if name not in targets] + [
        f"{name}: no such extra" for name in wanted if name not in extras
    ]


def faults_of_links(page, text):
    """Links that lead nowhere, anchors included."""
    found = []
    for link in pages.links(text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            found += [] if path in COMING else [f"{link}: leads nowhere"]
        elif anchor and anchor not in pages.anchors(text if target == page else target.read_text("utf-8")):
            found.append(f"{link}: no such heading")
    return found


def faults(page, text):
    """All that is wrong with a page."""
    found = [fault for command in pages.commands(text) for fault in faults_of_command(command)]
    found += faults_of_spans(text) + faults_of_set_up(text) + faults_of_links(page, text)
    if len(re.findall(r"^```", text, re.M)) % 2:
        found.append("a block is not closed")
    lines = text.count("\n")
    if page == README and lines > MOST_LINES:
        found.append(f"{lines} lines, at most {MOST_LINES}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_parse_and_links_lead_somewhere(page):
    assert faults(page, page.read_text("utf-8")) == []


def test_the_pages_have_commands():
    """Else the test above would say nothing."""
    found = [command for page in PAGES for command in pages.commands(page.read_text("utf-8"))]
    assert {command.program for command in found} >= {"ofa_bert", *SCRIPTS}
    assert sum(command.whole for command in found) > 50
    every = set(registry.COMMANDS)
    assert (
        every - {command.arguments[0] for command in found if command.program == "ofa_bert" and command.arguments}
        == set()
    )


TUNE = "python -m ofa_bert tune --model_name_or_path m --task_name SST-2 --output_dir o"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"```\n{TUNE} --tirals 3\n```", "no flag --tirals"),
        (f"```\n{TUNE} \\\n    --tirals 3\n```", "no flag --tirals"),
        (f"```bash\n{TUNE} --trials three   # of them\n```", "--trials three: must be a whole number"),
        ("```\npython -m ofa_bert tune --trials 3\n```", "--output_dir is required"),
        ("```\npython -m ofa_bert toon --trials 3\n```", "no such command"),
        ("```\npython -m ofa_bert tune ... --tirals 3\n```", "no flag --tirals"),
        (
            "```\npython -u ./run_glue_ofa.py ... --exits deebert --width_mult_list 1.0\n```",
            "no flag --width_mult_list",
        ),
        (
            "```\npython -m paddle.distributed.launch --nproc_per_node 2 run_glue.py --device cpu --task_name RTE\n```",
            "--model_name_or_path is required",
        ),
        ("```\npython benchmarks/scaling.py --sides 2\n```", "no flag --sides"),
        ("```\npython benchmarks/scales.py\n```", "no such program"),
        ("`run_glue.py --width_mult 1` has no such", "no flag --width_mult"),
        ("`--width_malt`", "no flag --width_malt"),
        ("`ofa_bert/export/int8.py` says why", "no such file"),
        ("```\nmake demos\n```", "make demos: no such target"),
        ('```\npip install -e ".[cpus]"\n```', "cpus: no such extra"),
        ("[it](docs/nowhere.md)", "docs/nowhere.md: leads nowhere"),
        ("[it](docs/README.md#no-such)", "no such heading"),
        ("[it](#no-such)\n# Such", "no such heading"),
        (f"```\n{TUNE}\n", "a block is not closed"),
        ("a line\n" * 151, "151 lines, at most 150"),
    ],
)
def test_a_planted_fault_is_found(text, words):
    found = faults(README, text)
    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "text",
    [
        f"```\n{TUNE} --trials 3   # few\n```",
        "```\npython -u ./run_glue_ofa.py ... --exits deebert --exit_lambda 1\n```",
        "`python -m ofa_bert bench ... --peers hugging_face`, `--trials 3`, `--gpus`",
        "[it](docs/README.md#the-pages), [there](https://example.org/none), `[no](link)`\n```\n[no](link)\n```",
        "```\nmake test JOBS=4\n```",
        "a line\n" * 150,
    ],
)
def test_what_is_right_passes(text):
    assert faults(README, text) == []


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in pages.links(index.read_text("utf-8"))}
    assert [page for page in PAGES if page.is_relative_to(index.parent) and page not in {index, *listed}] == []


def drawing():
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "pictures" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_what_its_program_draws_from_the_table():
    draw = drawing()
    table = draw.TABLE.read_text("utf-8")
    assert len(draw.rows_of(table)) == 9
    picture = draw.PICTURE.read_text("utf-8")
    assert picture == draw.drawn(table)
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert draw.drawn(table.replace("75.4 (-0.1)", "70.4 (-0.1)")) != picture


SHORT_NAMES = {
    "teacher": "teacher",
    "width 5/6": "w0.8333_d1",
    "width 2/3": "w0.6667_d1",
    "width 1/2": "w0.5_d1",
    "half the layers": "w1_d0.5",
}


def cells_by_name(path: Path):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in path.read_text("utf-8").splitlines()]
    return {row[0]: row[1:] for row in rows if len(row) == 8}


def test_the_short_table_says_what_the_long_one_does():
    short, long = cells_by_name(README), cells_by_name(ROOT / "docs" / "results" / "glue.md")
    assert {name: long[full] for name, full in SHORT_NAMES.items()} == {name: short[name] for name in SHORT_NAMES}
