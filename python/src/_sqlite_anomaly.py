"""Where the command `sqlite-anomaly` starts: outside its package, whose modules take their time to be read."""

from __future__ import annotations

import signal


def main() -> int:
    """Runs the command; an interrupt while its modules are read ends the process without a word."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sqlite_anomaly.cli import main as run

    signal.signal(signal.SIGINT, handler)
    return run()
