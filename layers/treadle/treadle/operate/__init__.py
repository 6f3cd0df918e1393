"""What an operator does, over the same ports as the engine. Knows nothing of AWS."""
