"""Where the command `saltation` begins: outside of the package, so that Ctrl-C during its import is no traceback."""

import os
import signal
import sys
from typing import Any, NoReturn

INTERRUPTED = 130


def _stop(*_: Any) -> None:
    os.write(sys.stderr.fileno(), b"\nstopped before anything was done\n")
    os._exit(INTERRUPTED)  # an exception may be lost, or become another, in the middle of an import


def main() -> NoReturn:
    """Run a command, and end with its exit code, see `saltation.cli.main`."""
    before = signal.signal(signal.SIGINT, _stop)
    from saltation.cli import main as run
    from saltation.environment import leave

    signal.signal(signal.SIGINT, before)
    leave(run())
