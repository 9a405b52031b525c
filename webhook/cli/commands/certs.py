"""`certs issue`: a CA and a serving certificate, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.exits import ExitCode


def issue(
    *,
    out: Annotated[Path, typer.Option("--out", help="The directory to write to; made when it is not there.")],
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", help="A name that clients call the server by, as sidecar-policy.mesh.svc. Repeatable."),
    ] = None,
    ip: Annotated[
        list[str] | None, typer.Option("--ip", help="An address that clients call it by. Repeatable.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=36500, help="How long the certificate is valid.")] = 365,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Issue a serving certificate under a new authority: ca.crt, tls.crt and tls.key.

    ca.crt is what clients must trust: the caBundle of the webhook configuration. The authority's key is thrown away,
    so nothing else is ever signed with it; the authority is valid for ten years, or as long as the certificate.

    Exit codes: 0 written; 1 files are there and --force is not given; 2 a name or address is none; 3 the directory
    cannot be written.
    """
    from datetime import UTC, datetime, timedelta

    from certs import files
    from certs.issue import AUTHORITY_LIFETIME, CertificateError, issue_authority, issue_serving

    if (there := files.present(out)) and not force:
        typer.echo(f"error: {', '.join(map(str, there))}: already there; --force replaces", err=True)
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
