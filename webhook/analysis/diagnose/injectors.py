"""Find problems of injectors: the order of webhooks, and two injectors for one namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from webhook.analysis.diagnose.finding import Code, Finding, Subject
from webhook.analysis.diagnose.fix import delete_webhook_configuration, rename_webhook_configuration, unlabel_namespace
from webhook.analysis.diagnose.picture import Picture
from webhook.kubernetes.unread import understood
from webhook.mesh import eligibility
from webhook.mesh.webhook_order import KIND, SORTS_FIRST, Configuration, called_too_late


def injectors(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the webhooks of the cluster, and about the injection labels of namespaces."""
    read = (understood(document, Configuration) for document in picture.webhooks)
    configurations = [configuration for configuration in read if isinstance(configuration, Configuration)]
    yield from _called_too_late(configurations)
    for namespace in picture.namespaces:
        labels = picture.surroundings.namespace_labels(namespace) or {}
        yield from _two_labels(namespace, labels)
        yield from _two_injectors(namespace, labels, configurations, picture)


def _called_too_late(configurations: Sequence[Configuration]) -> Iterator[Finding]:
    for ours, istios in called_too_late({found.metadata.name: found.names for found in configurations}):
        yield Finding(
            code=Code.WEBHOOK_ORDER,
            subject=Subject(KIND, "", ours),
            message=f"it is called after {istios}, too late for its decisions: pods are already injected",
            evidence=(
                "the API server calls webhooks in the order of their configurations' names",
                f"{istios} sorts before {ours}",
            ),
            fix=rename_webhook_configuration(ours, SORTS_FIRST + ours),
            severity=Code.WEBHOOK_ORDER.severity,
        )


def _two_labels(namespace: str, labels: Mapping[str, str]) -> Iterator[Finding]:
    injection, revision = labels.get(eligibility.NAMESPACE_INJECTION), labels.get(eligibility.REVISION)
    if injection is None or revision is None:
        return
    label = f"{eligibility.NAMESPACE_INJECTION}={injection}"
    outcome = "nothing injects" if injection != "enabled" else "the default revision injects"
    yield Finding(
        code=Code.TWO_INJECTION_LABELS,
        subject=Subject("Namespace", "", namespace),
        message=f"{label} wins over {eligibility.REVISION}={revision}: {outcome}, and the revision is ignored",
        evidence=(f"label {label}", f"label {eligibility.REVISION}={revision}"),
        fix=unlabel_namespace(
            namespace,
            eligibility.NAMESPACE_INJECTION,
            f"or {eligibility.REVISION}, whichever is not intended; then restart the pods",
        ),
        severity=Code.TWO_INJECTION_LABELS.severity,
    )


def _two_injectors(
    namespace: str, labels: Mapping[str, str], configurations: Sequence[Configuration], picture: Picture
) -> Iterator[Finding]:
    # The injectors of a pod without labels, and of the pods there.
    pods: list[tuple[str, Mapping[str, str]]] = [("a pod without labels", {})]
    pods += [(member.label, member.pod.labels) for member in picture.members if member.namespace == namespace]
    for who, pod_labels in pods:
        claiming = {
            configuration.metadata.name: webhook.name
            for configuration in configurations
            for webhook in configuration.webhooks or ()
            if webhook.is_istios and webhook.selects(labels, pod_labels)
        }
        if len(claiming) > 1:
            first, *others = sorted(claiming)
            yield Finding(
                code=Code.TWO_INJECTORS,
                subject=Subject("Namespace", "", namespace),
                message=f"{first} and {others[-1]} both inject into pods here, one after the other",
                evidence=tuple(f"{name}: {webhook} selects {who}" for name, webhook in sorted(claiming.items())),
                fix=delete_webhook_configuration(others[-1], first),
                severity=Code.TWO_INJECTORS.severity,
            )
            return
