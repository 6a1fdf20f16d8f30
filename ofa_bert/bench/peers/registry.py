"""The benchmark's peers. None of what they run in is imported for that."""

from __future__ import annotations

from importlib import import_module

from ofa_bert.bench.peers.base import Peer

# A line a file, whose PEERS are one or several.
_FILES = (
    "hugging_face",
    "quantized",
    "paddle_dynamic",
)


def _registered() -> dict[str, Peer]:
    groups: list[tuple[Peer, ...]] = [import_module(f"{__package__}.{name}").PEERS for name in _FILES]
    return {peer.name: peer for group in groups for peer in group}


PEERS = _registered()
