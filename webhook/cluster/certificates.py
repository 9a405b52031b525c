"""Which certificates are managed in a cluster, and the parts that look after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from certs.issue import issue_authority, issue_serving
from certs.keeper import Keeper
from certs.secret import ForeignSecretError
from certs.state import Schedule
from webhook.cluster.client import Client
from webhook.cluster.configurations import WebhookConfigurations
from webhook.cluster.secret import Secret


@dataclass(frozen=True, slots=True)
class ManagedCertificates:
    """What is managed.

    Attributes:
        secret: Namespace and name of the Secret.
        service: Namespace and name of the Service that the API server calls.
        configurations: Names of the webhook configurations whose caBundle is ours to write.
        names: DNS names that the certificate is for, besides the Service's.
        schedule: How long things last.
    """

    secret: tuple[str, str]
    service: tuple[str, str]
    configurations: tuple[str, ...]
    names: tuple[str, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def dns_names(self) -> tuple[str, ...]:
        """All names; the Service's is that which the API server expects in a webhook's certificate."""
        namespace, name = self.service
        return tuple(dict.fromkeys((f"{name}.{namespace}.svc", *(one.lower() for one in self.names))))


@dataclass(frozen=True, slots=True)
class Kept:
    """The parts that look after certificates in a cluster."""

    keeper: Keeper
    secret: Secret
    configurations: WebhookConfigurations


def keep(
    client: Client, managed: ManagedCertificates, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Kept:
    """Put the keeper of these certificates together; nothing is sent yet.

    Raises:
        CertificateError: A name is none.
    """
    # A name that is none shows here, and not when a certificate is due.
    issue_serving(issue_authority(now=clock()), managed.dns_names, now=clock())
    secret = Secret(client, *managed.secret)
    configurations = WebhookConfigurations(client, managed.configurations, managed.service)
    keeper = Keeper(secret, configurations, names=managed.dns_names, schedule=managed.schedule, clock=clock)
    return Kept(keeper, secret, configurations)


def foreign(secret: Secret, error: ForeignSecretError) -> str:
    """What to tell about a Secret that is not ours, and how to mend it."""
    return (
        f"Secret {secret.place} exists but is not managed by sidecar-policy: {error}; "
        "delete it or pass another name with --cert-secret"
    )
