"""The command line: one module for each command, each a thin shell around what the server calls too."""
