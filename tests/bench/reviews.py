"""The pods that are measured, as the API server sends them: defaults filled in, with a token volume and managed fields.

They are eShop's basket-api, with more variables than it has. A mark in them becomes another number in each request.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ESHOP = Path(__file__).parents[2] / "examples" / "eshop"
NAMESPACE = "eshop"
MARK = "########"
"""The load generator writes a number in eight hexadecimal digits over it, another one for each request."""
FIXED = "7c9d5f8b"
SMALL, LARGE = 19, 1801
"""Environment values that make an AdmissionReview of some 6 KB, and of some 220 KB."""

# What settings look like; %s is the part in which one pod differs from another.
VALUES = (
    "https://service-%s.example.com/api/v1",
    "/var/lib/app/%s",
    "feature-%s",
    "Information;Source=app-%s",
    "%s",
)
HASH = "5b8f9c6d7d"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


def pod(env: int, *, fresh: bool, namespace: str = NAMESPACE) -> Object:
    """A pod of basket-api as its ReplicaSet asks for it.

    Args:
        env: How many environment values it has, the nine of basket-api among them.
        fresh: Each request is about another workload, with other values; else about another replica of one.
        namespace: Where it is created.
    """
    part = MARK if fresh else FIXED
    template = _template()
    container = template["spec"]["containers"][0]
    known = len(container["env"])
    container["env"] += [
        {"name": f"SETTING_{number:04}", "value": VALUES[number % len(VALUES)] % part} for number in range(env - known)
    ]
    labels = template["metadata"]["labels"] | {"pod-template-hash": HASH}
    metadata = {"namespace": namespace, "labels": labels}
    created = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    name = f"basket-api-{part}-{HASH}" if fresh else f"basket-api-{HASH}"
    return owned(created, name, f"7d1cf1a4-4a51-4f0e-9f31-0000{part}")


def owned(created: Object, name: str, uid: str) -> Object:
    """The pod as the ReplicaSet of this name and uid asks for it."""
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": uid}
    owner = reference | {"controller": True, "blockOwnerDeletion": True}
    metadata = created["metadata"] | {"generateName": f"{name}-", "ownerReferences": [owner]}
    return created | {"metadata": metadata}


def numbered(created: Object) -> Object:
    """The pod as one request has it, with a number for each mark."""
    numbered: Object = json.loads(json.dumps(created).replace(MARK, FIXED))
    return numbered


def surroundings(namespace: str, *, client: bool) -> list[Object]:
    """What surrounds basket-api in a namespace, and its Deployment, without replicas.

    Args:
        namespace: Where all of it goes.
        client: Its ConfigMap names Redis and RabbitMQ; else the Services of APIs in their place.
    """
    documents = [one for path in sorted(ESHOP.glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]
    wanted = {
        ("ConfigMap", "cfg-basket-api"),
        ("Deployment", "basket-api"),
        *(("Service", name) for name in ("basket-data", "rabbitmq", "identity-api", "catalog-api")),
    }
    found = [one for one in documents if (one["kind"], one["metadata"]["name"]) in wanted]
    for one in found:
        one["metadata"]["namespace"] = namespace
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = 0
        if one["kind"] == "ConfigMap" and not client:
            one["data"] = {key: text.replace("basket-data", "catalog-api") for key, text in one["data"].items()}
            one["data"]["all__EventBusConnection"] = "identity-api"
    return found


def review(created: Object) -> Object:
    """The AdmissionReview about the creation of a pod, after the API server's own plugins have been at it."""
    request = {
        "uid": f"1f0c6a9e-31a4-4f7b-8a55-0000{MARK}",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "namespace": created["metadata"]["namespace"],
        "operation": "CREATE",
        "userInfo": {
            "username": "system:serviceaccount:kube-system:replicaset-controller",
            "uid": "2b0c1f0e-63a1-45c5-8a0d-5fcf6a1f9d11",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated"],
        },
        "object": _completed(created),
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request}


def line(document: Object) -> str:
    """A document as one line, as compact as the API server writes it."""
    return json.dumps(document, separators=(",", ":"))


def _template() -> Object:
    documents = yaml.safe_load_all((ESHOP / "basket.yaml").read_text())
    (template,) = (one["spec"]["template"] for one in documents if one["kind"] == "Deployment")
    return template


def _completed(created: Object) -> Object:
    """The pod with what the API server adds to it before it asks webhooks."""
    spec = created["spec"]
    token = f"kube-api-access-{MARK}"
    container = {
        **spec["containers"][0],
        "resources": {},
        "volumeMounts": [{"name": token, "readOnly": True, "mountPath": TOKEN_PATH}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "Always",
    }
    completed = {
        "volumes": [{"name": token, "projected": {"sources": _token_sources(), "defaultMode": 420}}],
        "containers": [container],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [
            {"key": f"node.kubernetes.io/{what}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for what in ("not-ready", "unreachable")
        ],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    metadata = created["metadata"] | {"creationTimestamp": None, "managedFields": [_managed(spec["containers"][0])]}
    return created | {"metadata": metadata, "spec": completed, "status": {}}


def _token_sources() -> list[Object]:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
    ]


def _managed(container: Object) -> Object:
    """Who set which field: the part of a pod that only the API server reads, and that grows with the environment."""
    variables = {
        f'k:{{"name":"{one["name"]}"}}': {".": {}, "f:name": {}, "f:value" if "value" in one else "f:valueFrom": {}}
        for one in container["env"]
    }
    fields = {name: {} for name in ("f:image", "f:imagePullPolicy", "f:name", "f:resources")}
    own = {".": {}, "f:env": {".": {}, **variables}, **fields}
    metadata = {"f:generateName": {}, "f:labels": {".": {}, "f:app": {}, "f:pod-template-hash": {}}}
    settings = ("f:dnsPolicy", "f:enableServiceLinks", "f:restartPolicy", "f:schedulerName", "f:securityContext")
    containers = {f'k:{{"name":"{container["name"]}"}}': own}
    spec = {"f:containers": containers, **{name: {} for name in settings}}
    return {
        "manager": "kube-controller-manager",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": metadata, "f:spec": spec},
    }
