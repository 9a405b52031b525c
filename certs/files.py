"""Certificates as files, under the names that a Kubernetes TLS Secret gives them when it is mounted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from certs.issue import KeyPair

AUTHORITY = "ca.crt"
CERTIFICATE = "tls.crt"
KEY = "tls.key"


def present(directory: Path) -> list[Path]:
    """The files in `directory` that `write` would replace."""
    return [path for name in (AUTHORITY, CERTIFICATE, KEY) if os.path.lexists(path := directory / name)]


def write(directory: Path, authority: bytes, serving: KeyPair) -> list[Path]:
    """Write ca.crt, tls.crt and tls.key; the directory is made when it is not there.

    Each file is replaced whole, and the key before its certificate. A reader between the two sees a pair that does
    not fit, never half a file; the server keeps what it has until the pair fits.

    Args:
        directory: Where to.
        authority: The authority's certificate in PEM. Its key is not written: nobody signs with it again.
        serving: The certificate (mode 0644) and the key (0600).

    Returns:
        The paths written.

    Raises:
        OSError: A file cannot be written. Those written before it stay.
    """
    directory.mkdir(parents=True, exist_ok=True)
    contents: Iterable[tuple[str, bytes, int]] = (
        (AUTHORITY, authority, 0o644),
        (KEY, serving.key, 0o600),
        (CERTIFICATE, serving.certificate, 0o644),
    )
    return [_replace(directory / name, content, mode) for name, content, mode in contents]


def read(certificate: Path, key: Path, contents: Callable[[Path], bytes] = Path.read_bytes) -> KeyPair:
    """Read a pair, as it is; whether it fits is for `certs.issue.verify` or TLS to say.

    Args:
        certificate: The file of the certificate.
        key: The file of its key.
        contents: Reads a file.

    Raises:
        OSError: A file cannot be read.
    """
    return KeyPair(contents(certificate), contents(key))


def _replace(path: Path, content: bytes, mode: int) -> Path:
    """Put a complete file in the place of `path`; mkstemp's files are private until their mode is set."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path
