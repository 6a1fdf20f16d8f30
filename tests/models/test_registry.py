"""The families' registry: what each file says is PaddleNLP's, and no other file asks for a family by its name."""

import ast
import subprocess
import sys

import pytest

from helpers.models import build
from helpers.paths import ROOT
from helpers.source import asked
from ofa_bert.errors import UserError
from ofa_bert.models.families.registry import FAMILIES, MODEL_TYPES, family_named

PACKAGE = ROOT / "ofa_bert"
# Tables by family: what PaddleNLP cuts them with, which a run time knows without any model code.
TABLES = ("ofa_bert/data/tokenization/families.py",)


def names_of_families(source):
    names = {f"{name}{end}" for name in MODEL_TYPES for end in ("", ".")}
    return list(asked(ast.parse(source), names, ("get", "startswith", "endswith")))


def test_no_file_asks_for_a_family_by_its_name():
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        questions = names_of_families(path.read_text("utf-8"))
        if questions and str(path.relative_to(ROOT)) not in TABLES:
            found[str(path.relative_to(ROOT))] = questions
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        'if family == "roberta": pass',
        'if kind in ("electra", "x"): pass',
        'heads = {"tinybert": 1}',
        'head = heads["ernie"]',
        'name.startswith("bert.")',
        'match kind:\n    case "ernie": pass',
    ],
)
def test_such_a_question_would_be_found(line):
    assert names_of_families(line)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_each_family_is_what_paddlenlp_calls_it(model_type):
    import paddlenlp.transformers as paddlenlp

    family, model = FAMILIES[model_type], build(model_type, layers=1)
    assert family.model_type == model_type == model.base_model_prefix
    for name in (family.classifier, family.tokenizer, family.masked_lm, family.token_classifier):
        assert name is None or hasattr(paddlenlp, name)
    assert (PACKAGE / "models" / "families" / f"{model_type}.py").is_file()


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_only_the_registry_knows_a_familys_file(model_type):
    module = f"ofa_bert.models.families.{model_type}"
    knowing = [path.name for path in PACKAGE.rglob("*.py") if f"from {module} " in path.read_text("utf-8")]
    assert knowing == ["registry.py"]


def test_the_registry_needs_no_paddle():
    program = (
        "import sys\n"
        "for name in ('paddle', 'paddlenlp', 'numpy'): sys.modules[name] = None\n"
        "from ofa_bert.models.families.registry import MODEL_TYPES\n"
        "print(*MODEL_TYPES)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == list(MODEL_TYPES), done.stderr


def test_an_unknown_family_is_one_line():
    with pytest.raises(UserError, match="`model_type` gpt: not supported.*bert, .*electra") as error:
        family_named("gpt")
    assert "\n" not in str(error.value)
