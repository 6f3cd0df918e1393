"""Operators' use cases, over the same ports as the engine. Independent of AWS."""
