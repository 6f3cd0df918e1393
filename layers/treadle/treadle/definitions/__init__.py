"""What a sensor's author writes with: values and decorators. Knows nothing of AWS, stores or time."""
