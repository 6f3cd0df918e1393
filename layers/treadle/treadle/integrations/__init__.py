"""What authors import that needs AWS or HTTP."""
