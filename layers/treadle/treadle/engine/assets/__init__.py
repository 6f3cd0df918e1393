"""Materializations and observations of assets: record and publish them."""
