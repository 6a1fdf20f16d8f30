"""A bundle's answers, without Paddle: `from ofa_bert.runtime import Predictor`."""

from typing import Any

__all__ = ["Prediction", "Predictor"]


def __getattr__(name: str) -> Any:
    # Not at the top: a worker that imports one module of this package does not need the others.
    if name in __all__:
        from ofa_bert.runtime import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
