"""Compose the certificate keeper for a live cluster."""

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
    """The configuration of self-managed certificates.

    Attributes:
        secret: Namespace and name of the Secret.
        service: Namespace and name of the Service that the API server calls.
        configurations: Names of the webhook configurations whose caBundle is managed.
        names: DNS SANs in addition to the Service's.
        schedule: Lifetimes and waits.
    """

    secret: tuple[str, str]
    service: tuple[str, str]
    configurations: tuple[str, ...]
    names: tuple[str, ...] = ()
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def dns_names(self) -> tuple[str, ...]:
        """All DNS SANs; the first is the Service's, which the API server expects in a webhook's certificate."""
        namespace, name = self.service
        return tuple(dict.fromkeys((f"{name}.{namespace}.svc", *(dns_name.lower() for dns_name in self.names))))


@dataclass(frozen=True, slots=True)
class Kept:
    """The keeper, and the clients that it reads and writes through."""

    keeper: Keeper
    secret: Secret
    configurations: WebhookConfigurations


def keep(
    client: Client, managed: ManagedCertificates, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> Kept:
    """Create the keeper of these certificates; nothing is sent yet.

    Args:
        client: The API client.
        managed: The configuration.
        clock: Returns the time, timezone-aware.

    Raises:
        CertificateError: A name is not a valid DNS name.
    """
    # An invalid name is reported here, and not when a certificate is due.
    issue_serving(issue_authority(now=clock()), managed.dns_names, now=clock())
    secret = Secret(client, *managed.secret)
    configurations = WebhookConfigurations(client, managed.configurations, managed.service)
    keeper = Keeper(secret, configurations, names=managed.dns_names, schedule=managed.schedule, clock=clock)
    return Kept(keeper, secret, configurations)


def foreign(secret: Secret, error: ForeignSecretError) -> str:
    """Return the error message for a Secret that sidecar-policy does not manage, with a suggested fix."""
    return (
        f"Secret {secret.place} exists but is not managed by sidecar-policy: {error}; "
        "delete it or pass another name with --cert-secret"
    )
