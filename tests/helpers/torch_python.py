"""Where PyTorch is, for tests of the programs that compute with it."""

import os
import sys

import pytest

from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from twin import prove

from ofa_bert.errors import UserError


def torch_python():
    """A Python with PyTorch: this one, or the one that OFA_BERT_TORCH_PYTHON names."""
    python = os.environ.get("OFA_BERT_TORCH_PYTHON", sys.executable)
    try:
        prove.check_python(python, prove.NEEDS["follow"])
    except UserError as error:
        pytest.skip(f"{error}; OFA_BERT_TORCH_PYTHON names another")
    return python
