"""The server's metrics. Labels have low cardinality: codes, catalog kinds, rules of the policy; no text from pods.

Every counter that may be alerted on is initialised to 0: for Prometheus, a counter that first appears as 1 has not
increased.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from webhook.server.admission.outcome import Outcome
from webhook.server.observe.collectors import LostLines, SwappedGauge
from webhook.verdicts.codes import breaking

# From the typical duration of a request (tenths of a millisecond) to the API server's default timeout of 10 s.
_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


# The outcomes that apply to one of the webhooks only.
_CALLED = {
    Outcome.PATCHED: ("mutate",),
    Outcome.UNCHANGED: ("mutate",),
    Outcome.CONFORMS: ("validate",),
    Outcome.CONTRADICTS: ("validate",),
    Outcome.DENIED: ("validate",),
}


class Metrics:
    """All metrics of one server, in a registry of their own. Timestamps are seconds since the epoch.

    Attributes:
        registry: The registry that /metrics exposes.
        requests: Requests to the webhooks by outcome.
        duration: Seconds from a request's headers to its response.
        decisions: Decisions by action, rule, mode and reason.
        cut: Decisions without complete detection, by cause.
        detections: Detected backends by kind and confidence, each kind once per pod.
        connections: Connections of pods that were decided about, by outcome, code and the end that breaks them.
        connection_faults: Pods whose connections could not be judged, by a fault of this program.
        findings: Detection results by source: computed, or served from the cache.
        remembered: Entries in the detection cache.
        contradictions: Pods that contradict their decision after admission, by contradiction.
        order_violations: Detections of a wrong webhook order.
        order_problems: Current problems with the webhook order.
        look_ups: Direct reads of objects, by kind and outcome.
        objects: Objects in the cluster cache, by kind.
        skipped: Objects that are skipped because they cannot be decoded, by kind.
        absent: 1 while an optional kind is not read, by kind.
        staleness: Seconds since the last list or watch response, by kind.
        policy_loads: Policy loads by outcome.
        policy_loaded: Time of the active policy's load.
        policy: Name and generation of the active policy, as labels.
        policy_rejected: 1 while a newer policy is invalid.
        drifted: Drifted pods by namespace and reason.
        running_connections: Connections of the pods that the last drift check inspected, by outcome, code and end.
        drift_pods: Pods inspected by the last drift check.
        drift_checked: Time of this replica's last complete drift check.
        drift_checks: Drift checks by outcome.
        certificate_reloads: Reloads of a changed serving certificate, by outcome.
        certificate_expiry: Expiry of the serving certificate.
        certificate_issued: Time of the serving certificate's issue, that is, of its last rotation.
        authority_expiry: Expiry of the CA that signs serving certificates.
        certificate_steps: Certificate rotation steps performed by this replica, by step.
        certificate_failures: Failures of certificate management, by location.
        lag: Event-loop scheduling delay in seconds.
        events: Kubernetes Events by outcome.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=registry)
        self.requests = Counter(
            "sidecar_policy_admission_requests",
            "Admission requests by outcome.",
            ("webhook", "outcome", "dry_run"),
            registry=registry,
        )
        self.duration = Histogram(
            "sidecar_policy_admission_duration_seconds",
            "Time from a request's headers to its response, in seconds.",
            ("webhook",),
            registry=registry,
            buckets=_SECONDS,
        )
        self.decisions = Counter(
            "sidecar_policy_decisions",
            "Decisions about pods; rule is empty if no rule matched.",
            ("action", "rule", "mode", "reason"),
            registry=registry,
        )
        self.cut = Counter(
            "sidecar_policy_decisions_cut",
            "Decisions about pods whose configuration was read only in part: budget exceeded, or overload.",
            ("cause",),
            registry=registry,
        )
        self.detections = Counter(
            "sidecar_policy_detections",
            "Detected dependencies of pods, by kind of backend and confidence.",
            ("kind", "confidence"),
            registry=registry,
        )
        self.connections = Counter(
            "sidecar_policy_connections",
            "Connections of pods that were decided about, by what becomes of them; docs/connections.md has the codes.",
            ("outcome", "code", "at"),
            registry=registry,
        )
        self.connection_faults = Counter(
            "sidecar_policy_connection_faults",
            "Pods whose connections could not be judged because of an internal error; the log has its location.",
            registry=registry,
        )
        self.findings = Counter(
            "sidecar_policy_findings",
            "Detection results by source: computed, or served from the cache.",
            ("source",),
            registry=registry,
        )
        self.remembered = Gauge(
            "sidecar_policy_findings_remembered_pods",
            "Entries in the detection cache.",
            registry=registry,
        )
        self.contradictions = Counter(
            "sidecar_policy_contradictions",
            "Pods that contradicted their decision after all webhooks had been called.",
            ("contradiction",),
            registry=registry,
        )
        self.order_violations = Counter(
            "sidecar_policy_webhook_order_violations",
            "Requests in which this webhook was called after Istio's injector.",
            registry=registry,
        )
        self.order_problems = Gauge(
            "sidecar_policy_webhook_order_problems",
            "Configurations of this webhook that are called after Istio's injector.",
            registry=registry,
        )
        self.look_ups = Counter(
            "sidecar_policy_inventory_lookups",
            "Direct lookups of objects that no watch had delivered yet.",
            ("resource", "outcome"),
            registry=registry,
        )
        self.objects = Gauge(
            "sidecar_policy_inventory_objects",
            "Objects in the cluster cache.",
            ("resource",),
            registry=registry,
        )
        self.skipped = Gauge(
            "sidecar_policy_inventory_objects_skipped",
            "Objects of the cluster that are invalid and skipped; the log has the details.",
            ("resource",),
            registry=registry,
        )
        self.absent = Gauge(
            "sidecar_policy_inventory_kind_absent",
            "1 while a kind of Istio's configuration is not read: it does not exist, or may not be read.",
            ("resource",),
            registry=registry,
        )
        self.staleness = Gauge(
            "sidecar_policy_inventory_staleness_seconds",
            "Seconds since the last list or watch response; 0 while the watch is open.",
            ("resource",),
            registry=registry,
        )
        self.policy_loads = Counter(
            "sidecar_policy_policy_loads",
            "Policy loads by outcome; unchanged: a rejected edit was reverted.",
            ("outcome",),
            registry=registry,
        )
        self.policy_loaded = Gauge(
            "sidecar_policy_policy_last_load_success_timestamp_seconds",
            "When the active policy was loaded.",
            registry=registry,
        )
        self.policy = SwappedGauge(
            "sidecar_policy_policy_info",
            "The active policy; always 1.",
            ("policy", "generation"),
            registry=registry,
        )
        self.policy_rejected = Gauge(
            "sidecar_policy_policy_edit_rejected",
            "1 while a newer policy is invalid and the previous one stays active.",
            registry=registry,
        )
        self.drifted = SwappedGauge(
            "sidecar_policy_drifted_pods",
            "Pods whose sidecar differs from the current decision, by namespace; reported by the replica that checks.",
            ("pod_namespace", "reason"),
            registry=registry,
        )
        self.running_connections = SwappedGauge(
            "sidecar_policy_running_connections",
            "Connections of the pods that run, by what becomes of them; reported by the replica that checks for drift.",
            ("outcome", "code", "at"),
            registry=registry,
        )
        self.drift_pods = Gauge(
            "sidecar_policy_drift_checked_pods",
            "Pods inspected by the last drift check; 0 on replicas that do not check.",
            registry=registry,
        )
        self.drift_checked = Gauge(
            "sidecar_policy_drift_last_check_timestamp_seconds",
            "When this replica last completed a drift check; 0 if it never did.",
            registry=registry,
        )
        self.drift_checks = Counter(
            "sidecar_policy_drift_checks",
            "Drift checks by outcome.",
            ("outcome",),
            registry=registry,
        )
        self.certificate_reloads = Counter(
            "sidecar_policy_certificate_reloads",
            "Reloads of the serving certificate by outcome.",
            ("outcome",),
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "sidecar_policy_certificate_expiry_timestamp_seconds",
            "When the serving certificate expires.",
            registry=registry,
        )
        self.certificate_issued = Gauge(
            "sidecar_policy_certificate_last_rotation_timestamp_seconds",
            "When the serving certificate was issued.",
            registry=registry,
        )
        self.authority_expiry = Gauge(
            "sidecar_policy_certificate_authority_expiry_timestamp_seconds",
            "When the CA that signs serving certificates expires; 0 while certificates are not self-managed.",
            registry=registry,
        )
        self.certificate_steps = Counter(
            "sidecar_policy_certificate_steps",
            "Certificate rotation steps performed by this replica.",
            ("step",),
            registry=registry,
        )
        self.certificate_failures = Counter(
            "sidecar_policy_certificate_failures",
            "Failures of self-managed certificates by location: the Secret or a webhook configuration.",
            ("where",),
            registry=registry,
        )
        self.lag = Histogram(
            "sidecar_policy_event_loop_lag_seconds",
            "Event-loop scheduling delay in seconds.",
            registry=registry,
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0),
        )
        self.events = Counter(
            "sidecar_policy_events",
            "Kubernetes Events by outcome: sent, repeated (series updated), dropped, failed.",
            ("outcome",),
            registry=registry,
        )
        self._start_at_zero()

    def count_lost_lines(self, lost: Callable[[], int]) -> None:
        """Expose the number of lost log lines.

        Args:
            lost: Returns the number; called at each scrape.
        """
        self.registry.register(LostLines(lost))

    def _start_at_zero(self) -> None:
        for outcome in Outcome:
            for webhook in _CALLED.get(outcome, ("mutate", "validate")):
                self.requests.labels(webhook, outcome.value, "false")
        for reload in ("replaced", "kept"):
            self.certificate_reloads.labels(reload)
        for cause in ("budget", "overload"):
            self.cut.labels(cause)
        for labels in breaking():
            self.connections.labels(*labels)
        for source in ("detection", "memory"):
            self.findings.labels(source)
        for where in ("secret", "configuration"):
            self.certificate_failures.labels(where)
