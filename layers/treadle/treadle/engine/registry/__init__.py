"""The registry as the components see it, and its synchronization."""
