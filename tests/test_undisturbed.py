"""Tests of several workers run beside each other, but for those that measure."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from pathlib import Path

import pytest

WORKER = """
import os, sys, undisturbed
undisturbed._DOOR, undisturbed._ROOM = (os.open(file, os.O_RDONLY) for file in sys.argv[1:3])
with undisturbed.turn(alone=sys.argv[3] == "alone"):
    print("in", flush=True)
    sys.stdin.read()
"""


class Worker:
    """A process that has a test's turn until it is told to end."""

    def __init__(self, directory: Path, how: str) -> None:
        files = [directory / "door", directory / "room"]
        for file in files:
            file.touch()
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *files, how],
            cwd=Path(__file__).parent,
            env=os.environ | {"PYTEST_XDIST_WORKER": "gw0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def is_in(self, seconds: float) -> bool:
        """Return whether it has its turn, at the latest after some time."""
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def end(self) -> None:
        """Have it end its turn."""
        self.process.communicate(timeout=20)


@pytest.fixture
def start(tmp_path):
    with contextlib.ExitStack() as ended:

        def start(how):
            worker = Worker(tmp_path, how)
            ended.callback(worker.process.wait)
            ended.callback(worker.process.kill)
            return worker

        yield start


def test_one_that_measures_waits_for_those_that_run_and_goes_before_those_that_come_later(start):
    others = [start("beside"), start("beside")]
    assert all(other.is_in(20) for other in others)

    measuring = start("alone")
    assert not measuring.is_in(0.5)
    later = start("beside")
    assert not later.is_in(0.5)

    for other in others:
        other.end()
    assert measuring.is_in(20)
    assert not later.is_in(0.2)
    measuring.end()
    assert later.is_in(20)
    later.end()
