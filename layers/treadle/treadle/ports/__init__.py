"""The interfaces through which the engine reaches the outside, as Protocols."""
