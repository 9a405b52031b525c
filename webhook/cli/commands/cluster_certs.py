"""`certs bootstrap`, `inspect` and `rotate`: manage the certificates that replicas share in a Secret."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from webhook.cli.exits import ExitCode
from webhook.cli.managed import (
    AUTHORITY_LIFETIME,
    CERT_LIFETIME,
    SERVE_WAIT,
    TRUST_WAIT,
    AuthorityLifetime,
    CertLifetime,
    CertSecret,
    ServeWait,
    Service,
    TrustWait,
    WebhookConfiguration,
    managed,
)
from webhook.cli.options import Context, Kubeconfig, check_context, duration, failure

if TYPE_CHECKING:  # imported on use below, so that `--help` stays fast
    from certs.keeper import Look
    from certs.state import Force
    from webhook.cluster.certificates import Kept, ManagedCertificates

T = TypeVar("T")

_TICK_SECONDS = 0.2


class Output(StrEnum):
    """The output format of the result."""

    TEXT = "text"
    JSON = "json"


class Which(StrEnum):
    """The certificate to rotate."""

    SERVING = "serving"
    AUTHORITY = "authority"


def bootstrap(  # noqa: PLR0913 - one parameter for each option
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    cert_secret: CertSecret = None,
    service: Service = None,
    webhook_configuration: WebhookConfiguration = None,
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", help="A DNS name (SAN) besides the Service's. Repeatable."),
    ] = None,
    cert_lifetime: CertLifetime = CERT_LIFETIME,
    authority_lifetime: AuthorityLifetime = AUTHORITY_LIFETIME,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            parser=duration,
            metavar="TIME",
            show_default=False,
            help="How long to wait before giving up. [default: 1m]",
        ),
    ] = 60.0,
) -> None:
    """Bring self-managed certificates into service, as the first replica does: Secret, caBundle, certificate.

    If they are in service already, nothing changes.

    Exit codes: 0 in service; 1 timeout, or the Secret is not managed by sidecar-policy; 2 usage error; 3 the cluster
    cannot be reached.
    """
    certificates = managed(
        cert_secret,
        service,
        webhook_configuration,
        names=dns or (),
        lifetimes=(cert_lifetime, authority_lifetime),
    )

    async def run(kept: Kept) -> Look:
        return await _drive(kept, timeout, lambda look: look.state is not None and _in_service(look))

    look = _with_cluster(kubeconfig, context, certificates, run)
    if not _in_service(look):
        raise _no(f"not in service after {timeout:g} s: {'; '.join(look.problems) or look.step.reason}")
    typer.echo(f"in service: Secret {'/'.join(certificates.secret)}, for {', '.join(certificates.dns_names)}")


def inspect(
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    cert_secret: CertSecret = None,
    service: Service = None,
    webhook_configuration: WebhookConfiguration = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="The output format.")] = Output.TEXT,
) -> None:
    """Show self-managed certificates: what is served and trusted, until when, and which step comes next.

    Nothing is changed, and no key is shown.

    Exit codes: 0 in service and trusted; 1 not, or the Secret is not managed by sidecar-policy; 2 usage error; 3 the
    cluster cannot be reached.
    """
    from webhook.cli.render.certificates import report, text

    certificates = managed(cert_secret, service, webhook_configuration)

    async def run(kept: Kept) -> Look:
        return await kept.keeper.look()

    look = _with_cluster(kubeconfig, context, certificates, run)
    document = report(look, "/".join(certificates.secret), healthy=_in_service(look) and not look.problems)
    typer.echo(json.dumps(document, indent=2) if output is Output.JSON else text(document))
    if not document["healthy"]:
        raise typer.Exit(ExitCode.NEGATIVE)


def rotate(  # noqa: PLR0913 - one parameter for each option
    which: Annotated[
        Which,
        typer.Argument(
            metavar="serving|authority", help="What to rotate: the serving certificate, or the CA that signs it."
        ),
    ],
    *,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    cert_secret: CertSecret = None,
    service: Service = None,
    webhook_configuration: WebhookConfiguration = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            parser=duration,
            metavar="TIME",
            help="How long to wait for the rotation to complete; the command takes the steps itself if no "
            "replica does. [default: 0]",
            show_default=False,
        ),
    ] = 0.0,
    cert_lifetime: CertLifetime = CERT_LIFETIME,
    authority_lifetime: AuthorityLifetime = AUTHORITY_LIFETIME,
    trust_wait: TrustWait = TRUST_WAIT,
    serve_wait: ServeWait = SERVE_WAIT,
) -> None:
    """Rotate a certificate before it is due, without a gap; the replicas complete the rotation by themselves.

    A new serving certificate is in use within seconds. A new CA is announced first, and signs when every API server
    trusts it; the old one is removed when every replica serves the new certificate. That takes both waits.

    Exit codes: 0 begun, or with --wait complete; 1 not possible now (there are no certificates, a rotation is in
    progress, the Secret is not managed by sidecar-policy) or not complete in time; 2 usage error; 3 the cluster
    cannot be reached.
    """
    certificates = managed(
        cert_secret,
        service,
        webhook_configuration,
        lifetimes=(cert_lifetime, authority_lifetime),
        waits=(trust_wait, serve_wait),
    )

    async def run(kept: Kept) -> Look:
        begun = await _begin(kept, which)
        if begun.took and wait:
            return await _drive(kept, wait, _at_rest)
        return begun

    look = _with_cluster(kubeconfig, context, certificates, run)
    if wait and not _at_rest(look):
        raise _no(f"not complete after {wait:g} s: {'; '.join(look.problems) or look.step.reason}")
    typer.echo(f"{which.value}: {'rotated' if wait else look.step.action.value}")


async def _begin(kept: Kept, which: Which) -> Look:
    from certs.state import Action, Force

    wanted = {Which.SERVING: Action.RENEW, Which.AUTHORITY: Action.ANNOUNCE}[which]
    force: Force = {Which.SERVING: Force.SERVING, Which.AUTHORITY: Force.AUTHORITY}[which]
    while True:
        look = await kept.keeper.look(force)
        if look.step.action is not wanted:
            raise _no(_why_not(look))
        look = await kept.keeper.act(force)
        if look.took and look.step.action is wanted:
            return look


def _why_not(look: Look) -> str:
    if look.state is None:
        return "no certificates to rotate; run certs bootstrap first"
    if look.problems:
        return "; ".join(look.problems)
    return f"another rotation is in progress: {look.step.reason}"


async def _drive(kept: Kept, seconds: float, done: Callable[[Look], bool]) -> Look:
    """Reconcile, or let the replicas do it, until it is done or the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        look = await kept.keeper.act()
        settled = not look.wrote and done(look)
        if settled or time.monotonic() > deadline:
            return look
        if not look.wrote:
            await asyncio.sleep(_TICK_SECONDS)


def _in_service(look: Look) -> bool:
    return look.trusted and look.state is not None and look.state.serving is not None


def _at_rest(look: Look) -> bool:
    state = look.state
    return _in_service(look) and state is not None and state.incoming is None and not state.outgoing


def _with_cluster(
    kubeconfig: Path | None,
    context: str | None,
    certificates: ManagedCertificates,
    run: Callable[[Kept], Awaitable[T]],
) -> T:
    from certs.issue import CertificateError
    from certs.secret import ForeignSecretError
    from webhook.cluster.certificates import foreign, keep
    from webhook.cluster.client import connect
    from webhook.cluster.errors import ClusterError, NoClusterError

    check_context(kubeconfig, context)
    try:
        client = connect(kubeconfig, context)
        kept = keep(client, certificates)
    except NoClusterError as error:
        raise failure(ExitCode.UNREADABLE, f"error: {error}") from None
    except CertificateError as error:
        raise failure(ExitCode.USAGE, f"error: {error}; see --service and --dns") from None

    async def session() -> T:
        try:
            return await run(kept)
        finally:
            await client.close()

    try:
        return asyncio.run(session())
    except ForeignSecretError as error:
        raise _no(foreign(kept.secret, error)) from None
    except ClusterError as error:
        raise failure(ExitCode.UNREADABLE, f"error: Secret {kept.secret.place}: {error}") from None


def _no(message: str) -> typer.Exit:
    return failure(ExitCode.NEGATIVE, f"error: {message}")
