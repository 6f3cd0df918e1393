"""Materializations of assets: record and publish them."""
