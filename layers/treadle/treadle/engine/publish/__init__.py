"""PUBLISH: publish changes of runs on the bus."""
