"""Authoring API that needs AWS or HTTP."""
