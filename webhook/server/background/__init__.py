"""What runs next to the requests: drift checks, webhook order, certificate rotation."""
