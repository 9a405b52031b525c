"""The pure core: from an admission request and what surrounds it to a decision and its patch.

Nothing in here does I/O, reads a clock or the environment, or logs. The server, the command line and the
tests call the same functions with other surroundings.
"""
