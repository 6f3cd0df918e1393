"""The AWS services that run jobs: one module each, all implementing one protocol."""
