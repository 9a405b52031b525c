"""Kubernetes' own formats: pods, AdmissionReviews, label selectors, YAML. Knows nothing of meshes or policies."""
