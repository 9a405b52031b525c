"""The options for managed certificates, the same for the server and for `certs`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from webhook.cli.options import duration

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from webhook.cluster.certificates import ManagedCertificates

NAMESPACE: Final = "sidecar-policy"
SECRET: Final = "sidecar-policy-certificates"  # noqa: S105 - a name
SERVICE: Final = "sidecar-policy"
CONFIGURATION: Final = "0-sidecar-policy"

_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def place(written: str) -> str:
    """Validate "NAMESPACE/NAME"."""
    parts = str(written).split("/")
    if len(parts) != 2 or not all(_NAME.fullmatch(part) for part in parts):
        raise typer.BadParameter(f"expected NAMESPACE/NAME, got {written!r}")
    return str(written)


def configuration(written: str) -> str:
    """Validate the name of a webhook configuration."""
    if not _NAME.fullmatch(str(written)):
        raise typer.BadParameter(f"invalid name of a webhook configuration {written!r} (example: {CONFIGURATION})")
    return str(written)


CertSecret = Annotated[
    str | None,
    typer.Option(
        "--cert-secret",
        parser=place,
        metavar="NAMESPACE/NAME",
        help="The Secret that stores the certificate that all replicas share, issue and rotate. "
        f"Default in a pod, without --cert and --cert-dir: {SECRET} in the pod's namespace.",
        show_default=False,
    ),
]
Service = Annotated[
    str | None,
    typer.Option(
        "--service",
        parser=place,
        metavar="NAMESPACE/NAME",
        help=f"The Service that the API server calls. Default: {SERVICE} in the Secret's namespace.",
        show_default=False,
    ),
]
WebhookConfiguration = Annotated[
    list[str] | None,
    typer.Option(
        "--webhook-configuration",
        parser=configuration,
        metavar="NAME",
        help="A MutatingWebhookConfiguration or ValidatingWebhookConfiguration, or both, whose caBundle is kept "
        "up to date. "
        f"Repeatable. Default: {CONFIGURATION}.",
        show_default=False,
    ),
]
CertLifetime = Annotated[
    float,
    typer.Option(
        "--cert-lifetime",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="The lifetime of a serving certificate; renewed at 2/3. [default: 365d]",
    ),
]
AuthorityLifetime = Annotated[
    float,
    typer.Option(
        "--authority-lifetime",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="The lifetime of its CA; replaced at 2/3. [default: 3650d]",
    ),
]
TrustWait = Annotated[
    float,
    typer.Option(
        "--trust-wait",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long a new CA is in the caBundle before it signs, so that every API server has reloaded it. "
        "[default: 5m]",
    ),
]
ServeWait = Annotated[
    float,
    typer.Option(
        "--serve-wait",
        parser=duration,
        metavar="TIME",
        show_default=False,
        help="How long the old CA stays there afterwards, so that every replica serves the new certificate. "
        "[default: 10m]",
    ),
]

YEAR: Final = 365 * 86400.0
CERT_LIFETIME: Final = YEAR
AUTHORITY_LIFETIME: Final = 10 * YEAR
TRUST_WAIT: Final = 300.0
SERVE_WAIT: Final = 600.0


def pod_namespace() -> str | None:
    """Return the namespace of the pod that this process runs in, or None outside of a pod."""
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def managed(
    secret: str | None,
    service: str | None,
    configurations: Sequence[str] | None,
    *,
    names: Sequence[str] = (),
    lifetimes: tuple[float, float] = (CERT_LIFETIME, AUTHORITY_LIFETIME),
    waits: tuple[float, float] = (TRUST_WAIT, SERVE_WAIT),
) -> ManagedCertificates:
    """Build the settings of managed certificates from the options and their defaults.

    Args:
        secret: "NAMESPACE/NAME"; by default in the pod's namespace, or outside of pods in that of the chart.
        service: "NAMESPACE/NAME".
        configurations: Names.
        names: More DNS names for the certificate.
        lifetimes: The lifetimes of certificate and CA, in seconds.
        waits: The waits before and after a CA begins to sign, in seconds.

    Raises:
        typer.BadParameter: The times contradict each other.
    """
    from certs.state import Schedule
    from webhook.cluster.certificates import ManagedCertificates

    secret = secret or f"{pod_namespace() or NAMESPACE}/{SECRET}"
    namespace, _, name = secret.partition("/")
    service_namespace, _, service_name = (service or f"{namespace}/{SERVICE}").partition("/")
    serving, authority = (timedelta(seconds=seconds) for seconds in lifetimes)
    trust, serve = (timedelta(seconds=seconds) for seconds in waits)
    try:
        schedule = Schedule(serving, authority, trust, serve)
    except ValueError as error:
        raise typer.BadParameter(
            f"{error}; see --cert-lifetime, --authority-lifetime, --trust-wait and --serve-wait"
        ) from None
    return ManagedCertificates(
        secret=(namespace, name),
        service=(service_namespace, service_name),
        configurations=tuple(configurations or (CONFIGURATION,)),
        names=tuple(names),
        schedule=schedule,
    )
