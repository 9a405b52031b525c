"""A file of policy tests, with its policy and a manifest."""

from __future__ import annotations

import json

POLICY = {
    "apiVersion": "sidecar-policy.dev/v1alpha1",
    "kind": "InjectionPolicy",
    "metadata": {"name": "p"},
    "spec": {"rules": [{"name": "batch", "match": {"owners": ["Job"]}, "action": "skip"}]},
}
POD = {"metadata": {"ownerReferences": [{"kind": "Job", "name": "backup"}]}, "spec": {"volumes": None}}
DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}},
}
EVERYTHING = {
    "action": "skip",
    "rule": "batch",
    "mode": "enforce",
    "hold": False,
    "ports": [],
    "dependencies": [],
    "serves": [],
    "reason": "rule",
}


def write_tests(folder, *cases, **fields):
    """Write a file with these tests; further fields of the file go by keyword."""
    (folder / "policy.yaml").write_text(json.dumps(POLICY))
    (folder / "web.yaml").write_text(json.dumps(DEPLOYMENT))
    document = {
        "apiVersion": "sidecar-policy.dev/v1alpha1",
        "kind": "PolicyTest",
        "policy": "policy.yaml",
        **fields,
        "tests": [{"name": "t", **case} for case in cases],
    }
    path = folder / "p.test.yaml"
    path.write_text(json.dumps(document, indent=1))
    return path
