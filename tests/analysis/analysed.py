"""Manifests as text, and the analyses of them: what the commands show, before it is rendered."""

from __future__ import annotations

import io

from webhook.analysis.diagnose.diagnose import diagnose
from webhook.analysis.diagnose.gather import picture_of
from webhook.analysis.plan.plan import plan_of
from webhook.analysis.workloads import decide_by
from webhook.inventory.manifests import read
from webhook.mesh.config import IstioConfiguration
from webhook.policy.files import Source
from webhook.policy.load import build, default_policy

NAMESPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n---"


def service(name, port, more="", target=""):
    return f"""
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: shop}}
spec: {{selector: {{app: {name}}}, ports: [{{port: {port}{more}{target}}}]}}
---"""


def workload(name, image, more="", kind="Deployment", api="apps/v1"):
    return f"""
apiVersion: {api}
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: {image}{more}}}]}}
---"""


REDIS = workload("cache", "redis:7")
CLIENT = workload("web", "shop/web", ", env: [{name: REDIS_URL, value: 'redis://:canary-7f3a@cache:6379'}]")


def compiled(text):
    return build([Source("policy.yaml", text.encode())])


def inventory(text):
    found = read(["-"], stdin=io.StringIO(text))
    assert not found.problems
    return found


def diagnosed(*manifests, policy=None, native=True, namespace=NAMESPACE):
    """The findings about manifests."""
    policy = default_policy() if policy is None else compiled(policy)
    found = inventory(namespace + "".join(manifests))
    istio = IstioConfiguration.of(found.documents)
    return diagnose(picture_of(found, istio, policy, decide_by(policy, found), namespace=None, native=native))


def codes(findings):
    return [(found.code.code, found.severity.value, found.subject.name) for found in findings]


NONE = "{apiVersion: sidecar-policy.dev/v1alpha1, kind: InjectionPolicy, metadata: {name: none}, spec: {rules: []}}"
SKIP = """
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {name: skip}
spec: {rules: [{name: redis-clients, match: {dependencies: [redis]}, action: skip}]}
"""
API = workload("api", "shop/api")
_WEB = workload(
    "web", "shop", ", env: [{name: API_URL, value: 'http://api'}, {name: REDIS_URL, value: 'redis://store:6379'}]"
)
SHOP = NAMESPACE + "".join(service(name, 80, target=", targetPort: 8080") for name in ("web", "api")) + API + _WEB
"""A client of redis that calls an API, too."""


def planned(more="", *, now=NONE, then=SKIP, api=API):
    """The plan from one policy to another for a shop and more."""
    found = inventory(SHOP.replace(API, api) + more)
    return plan_of(compiled(now), compiled(then), found, IstioConfiguration.of(found.documents))
