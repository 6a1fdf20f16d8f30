"""exit_policy.json: the policy that was chosen for a sub-model, and where."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ofa_bert.errors import UserError
from ofa_bert.exits.kept_curve import KeptCurve
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.exits.policy import MODES, Policy, check_policy, read_ask
from ofa_bert.exits.token_table import TABLE, TokenTable, read_table
from ofa_bert.files.atomic import EXIT_POLICY
from ofa_bert.files.fields import Fields
from ofa_bert.files.reading import read_object
from ofa_bert.numerics import Ints
from ofa_bert.reporting import shown
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Task


class Chosen(NamedTuple):
    """What python -m ofa_bert exits chose: the content of its exit_policy.json, and its token table if it made one."""

    about: dict[str, object]
    table: TokenTable | None


def policy_json(
    policy: Policy, mode: str, ask: Sequence[int], sub_model: SubModelConfig, layout: ExitLayout, layers: Sequence[int],
    task: Task, where: str, curve: KeptCurve | None = None,
) -> dict[str, object]:  # fmt: skip
    """The content of an exit_policy.json: what `read_policy` checks, and `where` it was chosen.

    layers: that run until each exit, the last one included. curve: of all thresholds that were tried.
    """
    return {
        "policy": policy.to_json(),
        "mode": mode,
        "sub_model": sub_model.to_json(),
        "exits": layout.to_json(),
        "layers": list(layers),
        "ask": list(ask),
        "task": task.to_json(),
        "model": where,
        **({} if curve is None else {"curve": curve.to_json()}),
    }


def read_policy(
    where: str,
    sub_model: SubModelConfig,
    task: Task,
    layout: ExitLayout,
    layers: Sequence[int],
    vocab_size: int,
    kept_tokens: Ints | None = None,
) -> Chosen:
    """The policy of a directory or file; UserError unless it was chosen for this sub-model and these exits.

    kept_tokens: of a trimmed vocabulary, the ids that its tokens had; the token table keeps their rows.
    """
    path = Path(where) / EXIT_POLICY if Path(where).is_dir() else Path(where)
    about = read_object(path)
    fields = Fields(about, f"`exit_policy` {path}: is no {EXIT_POLICY} of python -m ofa_bert exits")
    layers = list(layers)
    mode, policy = fields.text("mode", MODES), fields.inner("policy")
    held = list(fields.wholes("layers")), fields.mapping("exits"), fields.mapping("sub_model")
    own = *held, fields.inner("task").text("name")
    wanted = layers, layout.to_json(), sub_model.to_json(), task.name
    for what, has, needs in zip(("layers", "exits", "sub-model", "task"), own, wanted):
        if has != needs:
            raise UserError(
                f"`exit_policy` {path}: was chosen for the {what} {shown(has)}, this model has {shown(needs)}; choose"
                " one for this model with python -m ofa_bert exits and the same `width_mult` and `depth_mult`"
            )
    check_policy(policy, Policy.read(policy), task.kind_name, task.num_labels, len(layers) - 1)
    read_ask(fields, len(layers) - 1)
    if "curve" in fields:
        KeptCurve.read(fields.inner("curve"), len(layers) - 1)
    table = path.with_name(TABLE)
    found = _table(table, layers, vocab_size, kept_tokens) if table.is_file() else None
    if found is None and mode == "predicted":
        raise UserError(f"`exit_policy` {path}: predicts exits, and {TABLE} does not lie beside it; make it anew")
    return Chosen({key: value for key, value in about.items() if key != "model"}, found)


def _table(path: Path, layers: list[int], vocab_size: int, kept_tokens: Ints | None) -> TokenTable:
    if kept_tokens is None:
        return read_table(path, layers, vocab_size)
    found = read_table(path, layers)
    if kept_tokens.max() >= len(found.counts):
        raise UserError(f"{path}: knows {len(found.counts)} tokens, the model has more; make it anew")
    return TokenTable(found.counts[kept_tokens], found.layers, found.cuts)
