"""Finetune BERT on a GLUE task or on your own data; the code is in ofa_bert/cli/commands/finetune.py."""

import sys

from ofa_bert.cli.commands.finetune import main

if __name__ == "__main__":
    sys.exit(main())
