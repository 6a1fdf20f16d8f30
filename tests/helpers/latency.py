"""Latency tables of tiny models that do not depend on the machine."""

from dataclasses import replace

from ofa_bert.bundle.latency_table import LatencyTable


def by_size(path):
    """Make the table at `path` one of another machine, whose times follow the sizes: a tiny model's own are noise.

    What is chosen by a table of another machine is predicted, not measured here.
    """
    table = LatencyTable.load(path)
    heads, ffn = ({count: count / max(each) for count in each} for each in (table.heads, table.ffn))
    elsewhere = {**table.setting, "processor": "another"}
    replace(table, base=0.1, layer=0.1, heads=heads, ffn=ffn, outgrown={}, last=1.0, setting=elsewhere).save(path)
