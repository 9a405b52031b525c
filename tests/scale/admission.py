"""AdmissionReviews as an API server sends them for pods of a population: some 6 kB, of a service with its settings."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonpatch
from population import Object, Population

BYTES = 6_000
REVISION = "##########"
"""Stands in a body where the revision of the workload is to be; pods of one revision are the same to the server."""


def mutation(population: Population, number: int) -> str:
    """The body of the review in which the pod of the workload of this number is to be changed.

    The pod takes all of one ConfigMap as its environment, mounts another one, and names Services itself.

    Args:
        population: Where the ConfigMaps and Services are.
        number: Of the workload; its namespace is that of the ConfigMap of the same number.
    """
    return _review(population, number, _pod(population, number))


def validation(body: str, operations: list[Object]) -> str:
    """The body of the review of a pod after its mutation.

    Args:
        body: That of its mutation.
        operations: The JSON Patch that was answered.
    """
    review = json.loads(body)
    review["request"]["object"] = jsonpatch.apply_patch(review["request"]["object"], operations)
    return json.dumps(review)


def revised(body: str, revision: int) -> str:
    """The body for a pod of this revision of the workload."""
    return body.replace(REVISION, f"{revision:0{len(REVISION)}x}")


def _review(population: Population, number: int, pod: Object) -> str:
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    request = {
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "kind": kind,
        "resource": resource,
        "requestKind": kind,
        "requestResource": resource,
        "namespace": population.namespace(number),
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller", "groups": ["system:nodes"]},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
        "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
    }
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request})


def _pod(population: Population, number: int) -> Object:
    size, namespaces = population.size, population.size.namespaces
    chance = random.Random(number)
    settings = population.config_map(number)["metadata"]["name"]
    beside = (number + namespaces) % size.config_maps if number + namespaces < size.config_maps else number
    files = population.config_map(beside)["metadata"]["name"]
    services = population.neighbours(number)
    environment: list[Object] = [
        {"name": "CACHE_HOST", "value": services[-1]},
        {"name": "UPSTREAM_URL", "value": f"http://{services[0]}:8080/v1"},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
    ]
    environment += [{"name": f"FEATURE_{one}_LIMIT", "value": str(chance.randrange(10_000))} for one in range(16)]
    name = f"workload-{number}"
    container = {
        "name": "main",
        "image": f"registry.example.com/{population.namespace(number)}/{name}:1.{REVISION}",
        "env": environment,
        "envFrom": [{"configMapRef": {"name": settings, "optional": True}}],
        "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
        "volumeMounts": [
            {"name": "files", "mountPath": "/etc/service", "readOnly": True},
            {"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        ],
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": f"{number:032x}", "controller": True}
    metadata: dict[str, Any] = {
        "generateName": f"{name}-",
        "namespace": population.namespace(number),
        "labels": {"app": name, "pod-template-hash": REVISION},
        "ownerReferences": [owner],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "containers": [container],
            "volumes": [{"name": "files", "configMap": {"name": files, "defaultMode": 420, "optional": True}}],
            "serviceAccountName": "default",
            "schedulerName": "default-scheduler",
        },
    }
    # What the controllers and the defaults add is much, and of no interest.
    padding = max(0, BYTES - len(json.dumps(pod)))
    metadata["annotations"] = {"checksum/config": "0" * padding}
    return pod
