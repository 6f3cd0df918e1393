"""The stores on DynamoDB: PynamoDB models and conditional writes."""
