"""What a sensor reads of runs and assets."""
