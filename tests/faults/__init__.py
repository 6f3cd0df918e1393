"""The whole scenario, with a fault at every call: nothing is lost, nothing is started twice."""
