"""The only place that knows AWS: stores, targets, queues, and the parsing of events."""
