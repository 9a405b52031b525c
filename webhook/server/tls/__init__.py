"""Serving certificates: where they come from, and their reload."""
