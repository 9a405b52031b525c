from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from serialised import as_serialised

from webhook.core.decision import Findings
from webhook.detection.catalog import Catalog
from webhook.detection.detect import detect
from webhook.inventory import manifests
from webhook.kubernetes.pod import ConfigMapVolume, Container, EnvVar, ObjectMeta, Pod, PodSpec, Volume, VolumeMount


def _service(name: str, described: dict[str, Any]) -> list[dict[str, Any]]:
    """A Service, and the Deployment behind it when an image is given."""
    name, _, namespace = name.partition(".")
    ports = described.get("ports") or {described.get("port_name", "main"): described["port"]}
    metadata = {"name": name, "namespace": namespace or "default"}
    spec = {"selector": {"app": name}, "ports": [{"name": key, "port": port} for key, port in ports.items()]}
    objects: list[dict[str, Any]] = [{"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}]
    if image := described.get("image"):
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "s", "image": image}]}}
        objects.append(
            {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": template}}
        )
    return objects


def _client(case: dict[str, Any]) -> list[dict[str, Any]]:
    container: dict[str, Any] = {"name": "app", "image": case.get("image", "shop/app:1")}
    container["env"] = [{"name": name, "value": value} for name, value in case.get("env", {}).items()]
    container["args"] = case.get("args", [])
    container["command"] = case.get("command", [])
    if probe := case.get("probe"):
        container["livenessProbe"] = {"exec": {"command": probe}}
    spec: dict[str, Any] = {"containers": [container]}
    objects: list[dict[str, Any]] = []
    if files := case.get("files"):
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "data": files})
        container["volumeMounts"] = [{"name": "files", "mountPath": "/etc/app"}]
        spec["volumes"] = [{"name": "files", "configMap": {"name": "files"}}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "client", "labels": {"app": "client"}}, "spec": spec}
    return [*objects, pod]


@pytest.fixture
def read_case(tmp_path):
    """The pod called client of a case as cases.yaml writes them, or of plain manifests, and its surroundings."""

    def read_case_(
        case: dict[str, Any] | None = None, *, objects: Sequence[dict[str, Any]] = (), secrets: bool = True
    ) -> tuple[manifests.Workload, manifests.Manifests]:
        documents = list(objects)
        if case is not None:
            documents += _client(case)
            for name, described in case.get("services", {}).items():
                documents += _service(name, described)
        file = tmp_path / "manifests.yaml"
        file.write_text("\n---\n".join(json.dumps(document) for document in documents))
        read = manifests.read([str(file)], secrets=secrets)
        assert not read.problems
        return next(workload for workload in read.workloads if workload.name == "client"), read

    return read_case_


@pytest.fixture
def find(read_case):
    """Detection over a case as cases.yaml writes them, or over plain manifests.

    The pod is found to be the same as it is written, for the command line, and as the API server serialises it.
    """

    def find_(case: dict[str, Any] | None = None, **kwargs: Any) -> Findings:
        workload, surroundings = read_case(case, **kwargs)
        found = detect(workload.pod, workload.namespace, surroundings, Catalog.default())
        sent = msgspec.convert(as_serialised(workload.document, workload.namespace), Pod)
        assert detect(sent, workload.namespace, surroundings, Catalog.default()) == found
        return found

    return find_


@pytest.fixture(scope="session")
def find_in_env():
    """The kinds that one environment variable alone makes a pod a client of."""
    nothing = manifests.Manifests((), ())

    def find_(key: str, value: str) -> set[str]:
        pod = Pod(ObjectMeta(name="p"), PodSpec(containers=[Container(name="c", env=[EnvVar(key, value)])]))
        return {dependency.kind for dependency in detect(pod, "default", nothing, Catalog.default()).dependencies}

    return find_


@pytest.fixture(scope="session")
def find_in_pod():
    """The kinds that a mounted file and arguments make a pod a client of."""

    def find_(file: str, arguments: list[str]) -> set[str]:
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"settings": file}}
        surroundings = manifests.Manifests((manifests.ManifestObject(config_map, "-:1", None),), ())
        container = Container(name="c", args=arguments, volume_mounts=[VolumeMount("v", "/etc/app")])
        volume = Volume("v", config_map=ConfigMapVolume("c"))
        pod = Pod(ObjectMeta(name="p"), PodSpec(containers=[container], volumes=[volume]))
        return {dependency.kind for dependency in detect(pod, "default", surroundings, Catalog.default()).dependencies}

    return find_
