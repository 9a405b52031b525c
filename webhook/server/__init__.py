"""The webhook server: HTTPS for the API server, a plain port for probes and monitors."""
