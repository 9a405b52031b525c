"""The load generator: what it is told, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


class LoadError(RuntimeError):
    """Requests failed, or none could be sent: what was measured would say nothing."""


@dataclass(frozen=True, slots=True)
class Load:
    """How much is sent.

    Attributes:
        connections: Kept open at once.
        seconds: How long, after a fifth of a second that is not counted.
        rate: Requests per second in open loop, or 0 for closed loop: the next when the last is answered.
    """

    connections: int
    seconds: float
    rate: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go.

    Attributes:
        urls: Where to POST; of several, connections take one each in turn.
        authority: The file of the authority to trust.
        bodies: A file with one body in each line.
        expect: Text that every answer has to hold.
        client: Files of a client certificate and its key.
    """

    urls: Sequence[str]
    authority: Path
    bodies: Path
    expect: str
    client: tuple[Path, Path] | None = None


def send(program: Path, target: Target, load: Load) -> Mapping[str, float]:
    """Send requests for a while.

    Returns:
        What the load generator measured: latencies in milliseconds, `perSecond`, `requests`, `sent` (those before
        the counting included), and `ownCpu`, its own microseconds of CPU for a request.

    Raises:
        LoadError: A request failed, or an answer did not say what it should.
    """
    options = {
        "url": ",".join(target.urls),
        "ca": target.authority,
        "bodies": target.bodies,
        "expect": target.expect,
        "connections": load.connections,
        "seconds": load.seconds,
        "rate": load.rate,
    }
    if target.client is not None:
        options["cert"], options["key"] = target.client
    done = subprocess.run(
        [program, *(f"-{name}={value}" for name, value in options.items())],
        capture_output=True,
        text=True,
        timeout=load.seconds + 60,
        # One core at most: what it takes, the server does not have.
        env=os.environ | {"GOMAXPROCS": "1"},
        check=False,
    )
    if done.returncode:
        raise LoadError(done.stderr.strip())
    measured = json.loads(done.stdout)
    if measured["errors"]:
        failed = f"{measured['errors']} of {measured['requests']} requests failed, the first with"
        raise LoadError(f"{target.urls[0]}: {failed} {measured['firstError']}")
    return {name: float(value) for name, value in measured.items() if name != "errors"}
