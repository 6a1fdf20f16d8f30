"""Finetune BERT on a GLUE task or on your own data; the code is in ofa_bert/cli/commands/finetune.py."""

from ofa_bert.cli.commands.finetune import main
from ofa_bert.cli.process import leave

if __name__ == "__main__":
    leave(main())
