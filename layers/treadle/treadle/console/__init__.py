"""The console: an HTTP API over `operate/` and the page that uses it, on a laptop or behind API Gateway."""
