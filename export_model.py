"""Export a sub-model of a supernet; the code is in ofa_bert/cli/commands/export.py."""

from ofa_bert.cli.commands.export import main
from ofa_bert.cli.process import leave

if __name__ == "__main__":
    leave(main())
