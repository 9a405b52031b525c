"""Choose the certificate files to serve: the given ones, or those of a self-issued certificate."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from certs import files
from certs.issue import issue_authority, issue_serving, verify
from webhook.server.settings import ServerSettings
from webhook.server.tls.sources import contents

_ADDRESSES = ("127.0.0.1", "::1")
_WORTH_KEEPING = timedelta(days=30)


def certificate_files(settings: ServerSettings, cleanup: ExitStack) -> tuple[Path, Path, Path | None]:
    """Return the files of the certificate, its key, and, for a self-issued one, its CA.

    A self-issued certificate in a persistent directory is reused while it is valid for another month, so that clients
    need not trust a new CA after each start.

    Args:
        settings: The configuration.
        cleanup: Removes a temporary directory.

    Returns:
        The certificate's, the key's and the CA's file; the last is None for a given certificate.

    Raises:
        CertificateError: No certificate can be issued for the given names.
        OSError: The directory cannot be written.
    """
    if settings.certificate is not None and settings.key is not None:
        return settings.certificate, settings.key, None
    directory = settings.cert_dir
    if directory is None:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="sidecar-policy-")))
    directory = directory.absolute()
    names = list(dict.fromkeys(("localhost", *settings.names)))
    now = datetime.now(UTC)
    if not _is_reusable(directory, (*names, *_ADDRESSES), now + _WORTH_KEEPING):
        authority = issue_authority(now=now)
        files.write(directory, authority.certificate, issue_serving(authority, names, _ADDRESSES, now=now))
    return directory / files.CERTIFICATE, directory / files.KEY, directory / files.AUTHORITY


def _is_reusable(directory: Path, names: tuple[str, ...], then: datetime) -> bool:
    try:
        pair = files.read(directory / files.CERTIFICATE, directory / files.KEY, contents)
        authority = contents(directory / files.AUTHORITY)
    except OSError:
        return False
    return all(verify(pair, authority, name, now=then).ok for name in names)
