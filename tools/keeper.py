"""Runs a command for as long as whoever started it lives, however that ends.

Its standard input is a pipe that only its starter holds: when that closes, the process group goes.
"""

import os
import signal
import subprocess
import sys
import threading


def _watch() -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


def main() -> int:
    """Run the command given as arguments and end with its status."""
    # A request to end goes to the whole group: the command heeds it, and this waits for it to.
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
