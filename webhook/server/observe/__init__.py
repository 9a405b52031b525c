"""Observability: metrics, logs, traces, Kubernetes Events, readiness."""
