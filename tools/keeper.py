"""Runs a command for as long as the process that started it lives, however that ends.

Its standard input is a pipe that only its starter holds: when that closes, the process group is killed.
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
    # SIGTERM goes to the whole group: the command handles it, and this process waits for it.
    signal.signal(signal.SIGTERM, lambda *_: None)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_watch, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main())
