"""Kubernetes' own formats: pods, AdmissionReviews, label selectors, YAML. Independent of meshes and policies."""
