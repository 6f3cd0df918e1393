"""Developer tooling: the local cloud, DynamoDB Local, invoking a built function. Ships nowhere."""
