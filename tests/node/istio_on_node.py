"""Istio on the node: the real injector, and sidecars of which every part is real but for the build of Envoy.

istiod is a process of the node, not a pod. The Envoy is the upstream project's, which lacks the filters that Istio's
own build adds: what would configure them is turned off.
"""

from __future__ import annotations

import istio
from api import ApiError, Object, eventually
from cluster_dns import ClusterDns
from controlplane import ControlPlane
from eshop_images import HUB, TAG
from sandbox import NODE_ADDRESS

XDS_PORT = 15012
SETTINGS = (
    f"hub={HUB}",
    f"tag={TAG}",
    f"values.global.hub={HUB}",
    f"values.global.tag={TAG}",
    "values.global.imagePullPolicy=Never",
    # Two dozen sidecars fit on two cores.
    "meshConfig.defaultConfig.concurrency=1",
    "values.global.proxy.resources.requests.cpu=5m",
    "values.global.proxy.resources.requests.memory=32Mi",
)
GATEWAY = "istio-ingressgateway"


def install(plane: ControlPlane, dns: ClusterDns) -> None:
    """Install Istio, and wait until it injects and takes its own kinds of objects."""
    istio.install(plane, *SETTINGS, address=NODE_ADDRESS, port=XDS_PORT, environment=istio.UPSTREAM_ENVOY)
    eventually(lambda: _taken(plane, istio.NO_STATISTICS), seconds=30, what="Istio's own kinds are served")
    dns.publish()


def ingress_gateway() -> list[Object]:
    """An ingress gateway, as Istio documents it: a Deployment of one container that the injector completes."""
    labels = {"istio": "ingressgateway"}
    metadata = {"name": GATEWAY, "namespace": istio.NAMESPACE}
    pod = {
        "metadata": {
            "labels": labels | {"sidecar.istio.io/inject": "true"},
            "annotations": {"inject.istio.io/templates": "gateway"},
        },
        "spec": {"containers": [{"name": "istio-proxy", "image": "auto", "imagePullPolicy": "Never"}]},
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {"selector": {"matchLabels": labels}, "template": pod},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": labels, "ports": [{"name": "http2", "port": 80}]},
        },
    ]


def _taken(plane: ControlPlane, document: Object) -> bool:
    try:
        plane.api.apply(document)
    except ApiError:
        return False
    return True
