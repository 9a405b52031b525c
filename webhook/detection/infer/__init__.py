"""Conclude from resolved settings which backends a pod talks to and serves."""
