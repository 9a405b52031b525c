"""What commands print: for people on a terminal, and as JSON, YAML or Markdown."""
