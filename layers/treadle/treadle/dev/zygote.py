"""The process from which workers are forked: it has imported once what each of them needs."""

import importlib
import os
import signal
import socket
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from types import FrameType

PRELOADED = (
    "treadle.adapters.events",
    "treadle.definitions.asset_sensor",
    "treadle.definitions.deadlines",
    "treadle.definitions.run_status",
    "treadle.dev.worker",
    "treadle.engine.parsing",
    "treadle.engine.tick.event_ticks",
    "treadle.engine.tick.partitions",
    "treadle.engine.tick.planning",
    "treadle.engine.tick.preview",
    "treadle.entrypoints.evaluator",
    "treadle.integrations.alerts.environment",
    "treadle.integrations.s3.definition",
    "boto3",
)


def main(descriptor: int) -> None:
    """Fork a worker for each pair of descriptors that arrives: its connection, and its output.

    Args:
        descriptor: of the socket from which the pairs come; its end ends this process.
    """
    for name in PRELOADED:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, _reap)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            _, (*descriptors,), _, _ = socket.recv_fds(requests, 1, 2)
            if len(descriptors) != 2:
                return
            pid = os.fork()
            if not pid:
                requests.detach()
                os.close(descriptor)
                _become_worker(*descriptors)
            for each in descriptors:
                os.close(each)
            requests.sendall(pid.to_bytes(8, "big"))


def _reap(_signal: int, _frame: FrameType | None) -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_worker(connection: int, output: int) -> None:
    from treadle.dev.worker import serve

    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for standard in (1, 2):
        os.dup2(output, standard)
    os.close(output)
    # A pipe is no terminal: without this, lines would arrive in blocks.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    try:
        serve(Connection(connection))
    finally:
        sys.stdout.flush()
        os._exit(0)
