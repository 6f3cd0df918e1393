"""RECORD: apply what targets report to run records."""
