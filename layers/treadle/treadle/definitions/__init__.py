"""Values and decorators for sensor authors. Independent of AWS, stores and time."""
