"""The console: an HTTP API over `operate/`, and the page that uses it, locally or behind API Gateway."""
