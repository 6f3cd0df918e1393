"""The whole flow on DynamoDB's stores, with a fault at every call, and at every request behind it."""
