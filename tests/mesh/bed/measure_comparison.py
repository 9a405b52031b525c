"""Measure what Envoy does to ten broken applications, and what tools say of the same manifests.

Usage: mesh_sandbox.py python measure_comparison.py  (writes tests/mesh/comparison.yaml)
"""

from __future__ import annotations

import bed as bed_
import breaking
import istioctl
import port_forwarding
import truth
import yaml
from api import Object
from applications import APPLICATIONS, RECORD, Application
from bed import Bed
from deployments import Pods

HEADER = """\
# Ten applications that Istio's sidecars break (tests/mesh/broken): what became of the connection, and what tools say.
# Written by `make mesh-comparison`; `make e2e-mesh` makes the connections again. docs/comparison.md has it as a table.
#
# envoy     result, wire and saw, as in truth.yaml
# analyze   the messages about the application's namespaces: of `istioctl analyze -A` on the API server, and of
#           `istioctl analyze --use-kube=false FILE`
# describe  `istioctl experimental describe` of the client's pod, the server's pod and the server's Service
"""


def record(bed: Bed) -> Object:
    """Measure everything."""
    certificate = bed.plane.authority.server("speaker")
    with breaking.running(bed) as pods, port_forwarding.serving(bed):
        first, again = breaking.measure(bed, pods, certificate, times=2)
        if first != again:
            raise RuntimeError(f"not the same twice: {sorted(set(first.items()) ^ set(again.items()))}")
        return {
            "on": bed_.versions(bed),
            "skipped by analyze without a cluster": istioctl.skipped_without_cluster(bed, APPLICATIONS[0].file),
            "applications": {
                one.name: {
                    "connection": {"client": one.client, "server": f"{one.host}:{one.port}", "protocol": one.speaks},
                    "envoy": truth.written(first[one.name]),
                    "analyze": {
                        "cluster": istioctl.analyze(bed, one.namespaces()),
                        "file": istioctl.analyze_file(bed, one.file),
                    },
                    "describe": _described(bed, pods, one),
                }
                for one in APPLICATIONS
            },
        }


def _described(bed: Bed, pods: Pods, one: Application) -> dict[str, list[str]]:
    client = pods[one.client].document["metadata"]
    found = {"client": istioctl.describe(bed, "pod", client["name"], client["namespace"])}
    if one.server:
        server = pods[one.server].document["metadata"]
        found["server"] = istioctl.describe(bed, "pod", server["name"], server["namespace"])
        found["service"] = istioctl.describe(bed, "service", one.host.partition(".")[0], server["namespace"])
    return found


if __name__ == "__main__":
    with bed_.mesh_bed() as mesh:
        text = yaml.safe_dump(record(mesh), sort_keys=False, width=1000, allow_unicode=True)
    RECORD.write_text(HEADER + text)
