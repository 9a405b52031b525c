"""What a diagnosis says: findings as data, from which everything shown is rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad it is."""

    ERROR = "error"
    """Connections fail, pods never end, or decisions are not carried out."""
    WARNING = "warning"
    """It may: something is not certain, or depends on timing."""
    INFO = "info"
    """Nothing is wrong, but something could be better."""


class Code(Enum):
    """What can be found: a stable code, which is also the anchor in docs/diagnose.md, and its severity."""

    HTTP_DECLARED = ("http-declared", Severity.ERROR)
    WRONG_DATABASE = ("wrong-database-declared", Severity.WARNING)
    UDP_DECLARED = ("udp-declared", Severity.WARNING)
    SERVER_FIRST = ("server-first-sniffed", Severity.ERROR)
    WEBHOOK_ORDER = ("webhook-order", Severity.ERROR)
    TWO_INJECTORS = ("two-injectors", Severity.ERROR)
    TWO_INJECTION_LABELS = ("two-injection-labels", Severity.WARNING)
    JOB_NEVER_FINISHES = ("job-never-finishes", Severity.ERROR)
    HOLD_MISSING = ("hold-missing", Severity.WARNING)
    STRICT_REFUSES = ("strict-refuses", Severity.ERROR)
    SKIPPED_FOR_A_SERVICE = ("skipped-for-a-service", Severity.INFO)

    def __init__(self, code: str, severity: Severity) -> None:
        self.code = code
        self.severity = severity

    @property
    def docs(self) -> str:
        """Where it is explained."""
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
        """As "shop Service/cache:6379"."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.namespace} {self.kind}/{self.name}{port}".strip()


@dataclass(frozen=True, slots=True)
class Mend:
    """How to mend it.

    Attributes:
        command: One line for a shell; None where no command can do it.
        patch: What the command changes, as the fragment of the object's YAML that it stands in, or as the operations
            of a JSON Patch; None where the command does something else than patch one object.
        note: What else there is to know, or another way.
    """

    command: str | None = None
    patch: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or could be better.

    Attributes:
        code: What it is.
        subject: Where.
        message: One sentence for people.
        evidence: What led to it, one sentence each; no value of a configuration but hosts, ports and kinds.
        mend: How to mend it.
        severity: How bad it is: the code's own, or less where it is not certain.
    """

    code: Code
    subject: Subject
    message: str
    evidence: tuple[str, ...]
    mend: Mend
    severity: Severity
