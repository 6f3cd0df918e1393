"""The only package that depends on AWS: stores, targets, queues, and the parsing of events."""
