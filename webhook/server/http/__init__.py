"""HTTP on both ports: protocol limits, bodies, the application, probes and status."""
