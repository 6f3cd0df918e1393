"""The metrics of a process in which tests call handlers' parts, without the handler that writes them at its end."""

from treadle.entrypoints import handler


def discard_metrics() -> None:
    """Discard what was counted since a handler last wrote its metrics."""
    handler.metrics().clear_metrics()
    handler._problems.clear()
