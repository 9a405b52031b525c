"""Reduce texts (values, files, command lines) to the hosts and ports in them; secrets are dropped here."""
