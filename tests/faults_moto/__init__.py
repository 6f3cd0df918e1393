"""The whole flow on DynamoDB's stores, with a fault injected at every call, and at every request of it."""
