"""The composition root: from settings to adapters to engine, once per process; a module per front door."""
