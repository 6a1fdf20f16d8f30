"""Export a sub-model of a supernet; the code is in ofa_bert/cli/commands/export.py."""

import sys

from ofa_bert.cli.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
