"""LAUNCH: claim attempts of runs and start them at their targets."""
