"""`certs issue`: a CA and a serving certificate, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.exits import ExitCode


def issue(
    *,
    out: Annotated[Path, typer.Option("--out", help="The output directory; created if missing.")],
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", help="A DNS name of the server (SAN), such as sidecar-policy.mesh.svc. Repeatable."),
    ] = None,
    ip: Annotated[list[str] | None, typer.Option("--ip", help="An IP address of the server (SAN). Repeatable.")] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=36500, help="How long the certificate is valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
) -> None:
    """Issue a serving certificate under a new CA: ca.crt, tls.crt and tls.key.

    ca.crt is what clients must trust: the caBundle of the webhook configuration. The key of the CA is discarded,
    so nothing else is ever signed with it; the CA is valid for ten years, or as long as the certificate.

    Exit codes: 0 written; 1 files exist and --force is not given; 2 invalid name or address; 3 the directory
    cannot be written.
    """
    from datetime import UTC, datetime, timedelta

    from certs import files
    from certs.issue import AUTHORITY_LIFETIME, CertificateError, issue_authority, issue_serving

    if (there := files.present(out)) and not force:
        typer.echo(f"error: {', '.join(map(str, there))}: already exists; pass --force to overwrite", err=True)
        raise typer.Exit(ExitCode.NEGATIVE)
    now = datetime.now(UTC)
    lifetime = timedelta(days=days)
    authority = issue_authority(now=now, lifetime=max(AUTHORITY_LIFETIME, lifetime))
    try:
        serving = issue_serving(authority, dns or [], ip or [], now=now, lifetime=lifetime)
    except CertificateError as error:
        typer.echo(f"error: {error}; see --dns and --ip", err=True)
        raise typer.Exit(ExitCode.USAGE) from None
    try:
        written = files.write(out, authority.certificate, serving)
    except OSError as error:
        typer.echo(f"error: {error.filename or out}: {error.strerror}", err=True)
        raise typer.Exit(ExitCode.UNREADABLE) from None
    for path in written:
        typer.echo(f"wrote {path}")
    names = ", ".join([*(dns or []), *(ip or [])])
    typer.echo(f"for {names}; valid until {now + lifetime:%Y-%m-%d}; clients trust {written[0]}")
