"""The node itself: what all other scenarios stand on."""

from api import eventually
from image import PAUSE


def test_a_pod_runs(plane, node):
    spec = {"containers": [{"name": "waits", "image": PAUSE, "imagePullPolicy": "Never"}]}
    eventually(lambda: plane.api.list("ServiceAccount", "default"), what="a service account")
    plane.api.create(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "first", "namespace": "default"}, "spec": spec}
    )

    def runs():
        return plane.api.get("Pod", "first", "default")["status"]["phase"] == "Running"

    eventually(runs, seconds=60, what="a pod runs")
