"""Finetune one BERT, train one once-for-all supernet from it, ship as many sub-models as there are devices."""

__version__ = "0.1.0"
