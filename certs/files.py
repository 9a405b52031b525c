"""Read and write certificates as files, named like those of a mounted Kubernetes TLS Secret."""

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
    """Return the files in `directory` that `write` would replace.

    Args:
        directory: A directory, which need not exist.
    """
    return [path for name in (AUTHORITY, CERTIFICATE, KEY) if os.path.lexists(path := directory / name)]


def write(directory: Path, authority: bytes, serving: KeyPair) -> list[Path]:
    """Write ca.crt, tls.crt and tls.key; create the directory if it does not exist.

    Each file is replaced atomically, and the key before its certificate. A reader between the two sees a mismatched
    pair, never half a file; the server keeps serving the previous pair until the new one matches.

    Args:
        directory: The directory to write to.
        authority: The CA certificate in PEM. Its key is not written, so it cannot sign anything else.
        serving: The certificate (mode 0644) and the key (mode 0600).

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
    """Read a certificate and key without validating them: that is left to `certs.issue.verify` or TLS.

    Args:
        certificate: The certificate file.
        key: The key file.
        contents: Reads a file.

    Returns:
        The pair; it may be mismatched.

    Raises:
        OSError: A file cannot be read.
    """
    return KeyPair(contents(certificate), contents(key))


def _replace(path: Path, content: bytes, mode: int) -> Path:
    """Replace `path` atomically; mkstemp's files are private until their mode is set."""
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
