"""The services that run jobs, one module each behind one Protocol."""
