"""Recipes of trainings, as data: what `recipe` quick and strong stand for. This is the one place to change them.

A preset gives numbers and words, never a switch: what it gives, an option of a command line can take back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from ofa_bert.options import values_of

logger = logging.getLogger(__name__)

Recipes = Mapping[str, Mapping[str, object]]  # name -> option -> value

_SUPERNET = {
    "batch_size": 32, "depth_mult_list": (1.0, 0.5), "stages": "width,width_depth", "width_stage_share": 0.25,
    "sandwich": 1, "supernet_dropout": 0.0, "lambda_logit": 1.0, "lambda_rep": 0.1,
}  # fmt: skip
SUPERNET: Recipes = {
    "quick": {"num_train_epochs": 4.0, **_SUPERNET, "layer_choice": "recorded", "augment": 0.0, "augment_share": 0.5},
    "strong": {"num_train_epochs": 20.0, **_SUPERNET, "layer_choice": "trial", "augment": 0.3, "augment_share": 0.5},
}

_DISTIL = {"logit_weight": 1.0, "state_weight": 0.1}
DISTIL: Recipes = {
    "quick": {"num_train_epochs": 4.0, **_DISTIL, "augment": 0.0, "augment_share": 0.5},
    "strong": {"num_train_epochs": 20.0, **_DISTIL, "augment": 0.3, "augment_share": 0.5},
}


def described(recipes: Recipes) -> str:
    """The help of an option that names one of them."""
    each = [f"{name}: {_words(values)}" for name, values in recipes.items()]
    return "sets several options at once; one that is given all the same counts instead. " + ". ".join(each)


def recipe_record(name: str | None, recipes: Recipes, job: object) -> dict[str, object]:
    """What a record says of the recipe of a job, and the log too: what it set, and what was given instead."""
    if name is None:
        return {}
    values = values_of(job)
    kept = {option: value for option, value in recipes[name].items() if values[option] == value}
    instead = {option: values[option] for option in recipes[name] if option not in kept}
    logger.info("recipe %s: %s%s", name, _words(kept), f"; given instead: {_words(instead)}" if instead else "")
    found: dict[str, object] = json.loads(json.dumps({"name": name, "set": kept, "given_instead": instead}))
    return {"recipe": found}


def _words(values: Mapping[str, object]) -> str:
    return ", ".join(f"`{option}` {_word(value)}" for option, value in values.items())


def _word(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(_word, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
