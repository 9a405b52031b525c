"""The MutatingAdmissionPolicy of docs/comparison.md: what it sees, and what it cannot."""

import re
from pathlib import Path

import pytest
import shop
import yaml
from api import eventually, has_sidecar

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"


@pytest.fixture
def policy(istio):
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (text,) = (block for block in blocks if "kind: MutatingAdmissionPolicy\n" in block)
    documents = list(yaml.safe_load_all(text))
    istio.api.apply(*documents)
    yield
    for one in reversed(documents):
        istio.api.delete(f"{one['apiVersion']}/{one['kind']}", one["metadata"]["name"])


def client(**variable):
    return {"containers": [{"name": "web", "image": "shop/web:1", "env": [{"name": "CACHE", **variable}]}]}


def test_a_policy_in_the_api_server_sees_the_pod_and_not_the_config_map(make_namespace, policy):
    namespace = make_namespace({"istio-injection": "enabled"})
    data = {"url": "redis://basket-data:6379"}
    namespace.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "urls"}, "data": data})
    plain = shop.pod("plain", client(value="redis://basket-data:6379"))

    eventually(lambda: not has_sidecar(namespace.create(plain, dry_run=True)), what="the policy is in force")

    reference = {"configMapKeyRef": {"name": "urls", "key": "url"}}
    assert has_sidecar(namespace.create(shop.pod("by-config-map", client(valueFrom=reference))))
