"""Find problems of injectors: the order of webhooks, and two injectors for one namespace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from webhook.analysis.diagnose.finding import Code, Finding, Fix, Subject
from webhook.analysis.diagnose.fix import delete_webhook_configuration, rename_webhook_configuration, unlabel_namespace
from webhook.analysis.diagnose.picture import Picture
from webhook.kubernetes.pod import ObjectMeta, Pod, PodSpec
from webhook.kubernetes.unread import understood
from webhook.mesh import eligibility
from webhook.mesh.eligibility import unselected
from webhook.mesh.webhook_order import KIND, SORTS_FIRST, Configuration, called_too_late

_ANY = Pod(ObjectMeta(), PodSpec())


def injectors(picture: Picture) -> Iterator[Finding]:
    """Yield findings about the webhooks of the cluster, and about the injection labels of namespaces."""
    read = (understood(document, Configuration) for document in picture.webhooks)
    configurations = [configuration for configuration in read if isinstance(configuration, Configuration)]
    yield from _called_too_late(configurations)
    for namespace in picture.namespaces:
        labels = picture.surroundings.namespace_labels(namespace) or {}
        yield from _two_labels(namespace, labels)
        yield from _two_data_planes(namespace, labels)
        yield from _revisions(namespace, labels, picture)
        if (because := picture.others.get(namespace)) is not None:
            yield _other_mesh(namespace, because)
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


def _two_data_planes(namespace: str, labels: Mapping[str, str]) -> Iterator[Finding]:
    if labels.get(eligibility.DATAPLANE_MODE) != eligibility.AMBIENT or unselected(namespace, labels, _ANY) is not None:
        return
    injects = f"{eligibility.NAMESPACE_INJECTION}=enabled"
    if eligibility.NAMESPACE_INJECTION not in labels:
        injects = f"{eligibility.REVISION}={labels.get(eligibility.REVISION)}"
    yield Finding(
        code=Code.TWO_DATA_PLANES,
        subject=Subject("Namespace", "", namespace),
        message="it asks for sidecars and for ambient mode: pods get a sidecar, and are not in ambient mode",
        evidence=(f"label {injects}", f"label {eligibility.DATAPLANE_MODE}={eligibility.AMBIENT}"),
        fix=unlabel_namespace(
            namespace,
            eligibility.DATAPLANE_MODE,
            "or the other label, whichever is not intended; then restart the pods",
        ),
        severity=Code.TWO_DATA_PLANES.severity,
    )


def _revisions(namespace: str, labels: Mapping[str, str], picture: Picture) -> Iterator[Finding]:
    """Yield the workloads that ask for another revision than their namespace, whose label Istio's selectors prefer."""
    injection, revision = labels.get(eligibility.NAMESPACE_INJECTION), labels.get(eligibility.REVISION)
    if injection is None and revision is None:
        return
    wins = (
        f"{eligibility.REVISION}={revision}" if injection is None else f"{eligibility.NAMESPACE_INJECTION}={injection}"
    )
    for member in picture.members:
        asked = member.pod.labels.get(eligibility.REVISION)
        if member.namespace != namespace or asked is None or (injection is None and asked == revision):
            continue
        yield Finding(
            code=Code.REVISION_IGNORED,
            subject=Subject(member.kind, member.namespace, member.name),
            message=f"its pods ask for revision {asked}, and the namespace's {wins} wins",
            evidence=(f"label {eligibility.REVISION}={asked} of the pod template", f"label {wins} of the namespace"),
            fix=Fix(note="remove the label from the pod template; or from the namespace, and let each pod ask"),
            severity=Code.REVISION_IGNORED.severity,
        )


def _other_mesh(namespace: str, because: str) -> Finding:
    return Finding(
        code=Code.OTHER_MESH,
        subject=Subject("Namespace", "", namespace),
        message="its pods are in Linkerd's mesh, which is not judged: all that is said here is about Istio",
        evidence=(because,),
        fix=Fix(
            note="server-first and other opaque ports: linkerd.io, config.linkerd.io/opaque-ports and "
            "skip-outbound-ports"
        ),
        severity=Code.OTHER_MESH.severity,
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
