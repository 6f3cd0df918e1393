"""The metrics of a process in which tests call handlers' parts, without the handler that writes them at its end."""


def discard_metrics() -> None:
    """Discard what was counted since a handler last wrote its metrics."""
    # Imported here, as every test discards metrics, and most need no handler.
    from treadle.entrypoints import handler

    handler.metrics().clear_metrics()
    handler._problems.clear()
