"""sidecar-policy: decide whether and how Istio injects a pod's sidecar, from the backends that it connects to."""

__version__ = "0.1.0"
