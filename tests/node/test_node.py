"""The node itself: what all other scenarios stand on."""

import shop
from api import eventually
from image import PAUSE


def test_a_pod_runs(plane, node):
    eventually(lambda: plane.api.list("ServiceAccount", "default"), what="a service account")
    pod = shop.pod("first", {"containers": [{"name": "waits", "image": PAUSE, "imagePullPolicy": "Never"}]})
    pod["metadata"]["namespace"] = "default"
    plane.api.create(pod)

    def runs():
        return plane.api.get("Pod", "first", "default")["status"]["phase"] == "Running"

    eventually(runs, seconds=60, what="a pod runs")
