"""The composition root: from settings to adapters to engine, once per process; one module per entry point."""
