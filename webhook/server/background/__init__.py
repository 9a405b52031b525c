"""Background tasks: drift checks, webhook order, certificate rotation."""
