"""Serving certificates: their sources and their reload."""
