"""Train a once-for-all supernet, or early exits; the code is in ofa_bert/cli/commands/supernet.py."""

import sys

from ofa_bert.cli.commands.supernet import main

if __name__ == "__main__":
    sys.exit(main())
