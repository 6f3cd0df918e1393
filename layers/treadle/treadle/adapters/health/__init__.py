"""The health of a deployed stack, from AWS: one module for each kind of check."""
