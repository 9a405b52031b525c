from __future__ import annotations

import json
from typing import Any

import pytest

from webhook.core.decision import Confidence, Dependency, Findings
from webhook.core.facts import Facts
from webhook.kubernetes.pod import Container, ObjectMeta, OwnerReference, Pod, PodSpec
from webhook.policy.files import Source
from webhook.policy.load import build

KINDS = frozenset({"elasticsearch", "kafka", "mssql", "postgresql", "rabbitmq", "redis"})


@pytest.fixture(scope="session")
def kinds():
    return KINDS


@pytest.fixture(scope="session")
def policy_text():
    """Gives the text of a policy with these rules and other fields of spec, as JSON, which is YAML."""

    def text(*rules, name="under-test", **spec):
        return json.dumps(
            {
                "apiVersion": "sidecar-policy.dev/v1alpha1",
                "kind": "InjectionPolicy",
                "metadata": {"name": name},
                "spec": {"rules": list(rules), **spec},
            },
            indent=1,
        )

    return text


@pytest.fixture(scope="session")
def compiled(policy_text):
    """Compiles a policy with these rules and other fields of spec."""

    def compile_(*rules, **spec):
        return build([Source("policy.yaml", policy_text(*rules, **spec).encode())], kinds=KINDS)

    return compile_


@pytest.fixture(scope="session")
def facts_of():
    """Makes the facts about a pod. Dependencies are "kind", or (kind, confidence), or (kind, confidence, port)."""

    def facts(
        *,
        namespace="shop",
        namespace_labels=None,
        labels=None,
        annotations=None,
        owners=(),
        service_account=None,
        images=("registry.example/shop/web:1",),
        dependencies=(),
        serves=(),
        document=None,
    ):
        pod = Pod(
            ObjectMeta(labels=labels, annotations=annotations),
            PodSpec(
                containers=[Container(name=f"c{number}", image=image) for number, image in enumerate(images)],
                service_account_name=service_account,
            ),
        )
        return Facts(
            pod=pod,
            namespace=namespace,
            namespace_labels=namespace_labels or {},
            owners=tuple(OwnerReference(*owner.split("/")) for owner in owners),
            findings=Findings(tuple(map(_dependency, dependencies)), tuple(serves)),
            document=document or dict,
        )

    return facts


def _dependency(said):
    given: tuple[Any, ...] = (said,) if isinstance(said, str) else said
    kind, confidence, port = *given, *("", "certain", None)[len(given) :]
    return Dependency(kind, Confidence[confidence.upper()], f"{kind}.example", port, f"env X → {kind}")
