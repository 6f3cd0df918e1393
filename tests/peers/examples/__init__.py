"""The sensors of Dagster's documentation and example projects, ported and evaluated."""
