"""Packages that only some uses need: imported when one wants them, or an error that says what to install."""

from __future__ import annotations

import importlib
from types import ModuleType

from ofa_bert.errors import UserError
from ofa_bert.system import environment

# What brings a package, for the packages that a user may lack.
_BROUGHT_BY = {
    "paddle": 'for a CPU: pip install "ofa_bert[cpu]"; for an NVIDIA GPU: pip install "ofa_bert[gpu]"',
    "paddlenlp": 'training and export need it: pip install "ofa_bert[train]"',
}
_SHOWN = {"paddle": "Paddle", "paddlenlp": "PaddleNLP"}


def missing(package: str) -> UserError:
    """The error for a package that is not installed."""
    return UserError(f"{_SHOWN.get(package, package)} is not installed; {_BROUGHT_BY[package]}")


def require(package: str) -> ModuleType:
    """The imported package; UserError that says what to install, or what else of it does not load."""
    environment.prepare()
    shown = _SHOWN.get(package, package)
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name == package:
            raise missing(package) from error
        raise UserError(f"{shown} is installed but the package {error.name!r} that it needs is not") from error
    except ImportError as error:
        raise UserError(f"{shown} is installed but does not load: {error}") from error
    if getattr(module, "__file__", None) is None:  # an empty folder of that name imports as a namespace package
        raise missing(package)
    return module
