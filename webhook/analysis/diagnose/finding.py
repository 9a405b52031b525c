"""The findings of a diagnosis, as data from which all output is rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any


class Severity(StrEnum):
    """The severity of a finding."""

    ERROR = "error"
    """Connections fail, pods never complete, or decisions are not enforced."""
    WARNING = "warning"
    """The same is possible: the evidence is not certain, or it depends on timing."""
    INFO = "info"
    """Nothing is wrong, but there is an improvement."""


class Code(Enum):
    """The kind of a finding: a stable code, which is also the anchor in docs/diagnose.md, and its severity.

    Those of connections that do not flow are the codes of their verdicts.
    """

    HTTP_DECLARED = ("http-declared", Severity.ERROR)
    TLS_DECLARED_HTTP = ("tls-declared-http", Severity.ERROR)
    HTTP_VERSION = ("http-version", Severity.ERROR)
    SERVER_FIRST = ("server-first-sniffed", Severity.ERROR)
    PERMISSIVE_WAITS = ("permissive-waits", Severity.ERROR)
    WRONG_DATABASE = ("wrong-database-declared", Severity.WARNING)
    UDP_DECLARED = ("udp-declared", Severity.WARNING)
    PORT_CAPTURED = ("port-captured", Severity.ERROR)
    NOT_IN_REGISTRY = ("not-in-registry", Severity.ERROR)
    NO_ENDPOINT = ("no-endpoint", Severity.WARNING)
    MTLS_NOT_TERMINATED = ("mtls-not-terminated", Severity.ERROR)
    STRICT_REFUSES = ("strict-refuses", Severity.ERROR)
    INIT_BEFORE_SIDECAR = ("init-before-sidecar", Severity.ERROR)
    PEER_PORT_UNLISTED = ("peer-port-unlisted", Severity.ERROR)
    JOB_NEVER_FINISHES = ("job-never-finishes", Severity.ERROR)
    HOLD_MISSING = ("hold-missing", Severity.WARNING)
    ENDS_FIRST = ("ends-first", Severity.WARNING)
    PORTS_NOT_BYPASSED = ("ports-not-bypassed", Severity.WARNING)
    SKIPPED_FOR_A_SERVICE = ("skipped-for-a-service", Severity.INFO)
    WEBHOOK_ORDER = ("webhook-order", Severity.ERROR)
    TWO_INJECTORS = ("two-injectors", Severity.ERROR)
    TWO_INJECTION_LABELS = ("two-injection-labels", Severity.WARNING)
    REVISION_IGNORED = ("revision-ignored", Severity.WARNING)
    TWO_DATA_PLANES = ("two-data-planes", Severity.WARNING)
    OTHER_MESH = ("other-mesh", Severity.INFO)

    def __init__(self, code: str, severity: Severity) -> None:
        self.code = code
        self.severity = severity

    @property
    def docs(self) -> str:
        """The URL of its documentation."""
        return f"docs/diagnose.md#{self.code}"


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that a finding is about.

    Attributes:
        kind: "Service".
        namespace: Its namespace; empty for objects of the whole cluster.
        name: Its name.
        port: The number of the Service's port; None for other objects.
    """

    kind: str
    namespace: str
    name: str
    port: int | None = None

    def __str__(self) -> str:
        """Return the object in the usual notation, as "shop Service/cache:6379"."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.namespace} {self.kind}/{self.name}{port}".strip()


@dataclass(frozen=True, slots=True)
class Fix:
    """The fix of a finding.

    Attributes:
        command: One line for a shell; None where no command can do it.
        patch: The change of the command, as a fragment of the object's YAML, or as the operations of a JSON Patch;
            None where the command does not patch one object.
        note: Further advice, or an alternative.
    """

    command: str | None = None
    patch: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, or a possible improvement.

    Attributes:
        code: The kind of finding.
        subject: The object.
        message: One sentence for users.
        evidence: The evidence, one sentence each; no value of a configuration but hosts, ports and kinds.
        fix: The fix.
        severity: The code's own severity, or a lower one where the evidence is not certain.
    """

    code: Code
    subject: Subject
    message: str
    evidence: tuple[str, ...]
    fix: Fix
    severity: Severity
