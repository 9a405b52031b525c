"""Certificates: a self-signed CA, the serving certificates that it signs, their storage and rotation."""
