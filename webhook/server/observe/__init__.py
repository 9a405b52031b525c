"""What is reported: metrics, logs, traces, Kubernetes Events, readiness."""
