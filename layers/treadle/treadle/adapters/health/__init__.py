"""How a deployed stack is, as AWS tells it: one module for each kind of question."""
