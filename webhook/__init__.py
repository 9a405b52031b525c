"""sidecar-policy: decide from what a pod really talks to how Istio's sidecar goes into it."""

__version__ = "0.1.0"
