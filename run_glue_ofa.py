"""Train a once-for-all supernet, or early exits; the code is in ofa_bert/cli/commands/supernet.py."""

from ofa_bert.cli.commands.supernet import main
from ofa_bert.cli.process import leave

if __name__ == "__main__":
    leave(main())
