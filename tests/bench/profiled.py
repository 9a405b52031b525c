"""`sidecar-policy` with a sampling profiler: which part of it, or which library, its CPU time goes into.

Run as a program: profiled.py FILE ARGUMENTS… writes, when the command ends, how often each part was met into FILE.
SIGUSR2 makes it forget what it met so far.

A sample belongs to the innermost frame that is the project's or a library's; what the standard library or C code does
belongs to its caller. Where there is none, it is the event loop itself: sockets, TLS, and waiting callbacks. Only the
main thread is seen, so here it decides about large pods, too.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

import webhook
from webhook.cli.main import run
from webhook.server.admission import deciding, pods

INTERVAL = 0.002
"""Seconds of CPU time between two samples."""
LOOP = "event loop, TLS, sockets"
PROJECT = str(Path(webhook.__file__).parents[1]) + "/"
LIBRARY = re.compile(r"/site-packages/([a-z0-9_]+)")
OWN = re.compile(r"(?:webhook|certs)/[a-z]+")
RUNNER = "/asyncio/runners.py"
"""Below it are the frames that only started the loop."""


def part(frame: FrameType | None) -> str:
    """Which part a stack is in."""
    while frame is not None:
        path = frame.f_code.co_filename
        if path.endswith(RUNNER):
            return LOOP
        if found := LIBRARY.search(path):
            return found[1]
        if path.startswith(PROJECT) and (own := OWN.match(path, len(PROJECT))):
            return own[0]
        frame = frame.f_back
    return LOOP


def main() -> None:
    target, *arguments = sys.argv[1:]
    sys.argv = ["sidecar-policy", *arguments]
    for module in (pods, deciding):
        setattr(module, "is_large", lambda _: False)  # noqa: B010 - a name that it imports
    met: Counter[str] = Counter()
    signal.signal(signal.SIGPROF, lambda _, frame: met.update([part(frame)]))
    signal.signal(signal.SIGUSR2, lambda *_: met.clear())
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    try:
        run()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        Path(target).write_text(json.dumps(met))


if __name__ == "__main__":
    main()
