"""`python -m sqlite_anomaly` is the command `sqlite-anomaly`, which starts here, too."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Runs the command; an interrupt while its modules are read ends the process without a word."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sqlite_anomaly.cli import main as run

    signal.signal(signal.SIGINT, handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
