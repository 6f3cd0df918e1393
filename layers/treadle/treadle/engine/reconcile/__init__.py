"""RECONCILE: find what other components have lost, and repair it."""
