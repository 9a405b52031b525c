"""Certificates: an own authority, the serving certificate it signs, and their files."""
