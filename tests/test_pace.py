"""Measured CPU time is that of the work, wherever and beside whatever it runs."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pace

LOOPS = 40


def _work():
    for _ in range(LOOPS):
        pace._loop()


def test_work_takes_what_it_takes_on_the_reference_core_or_less():
    with pace.measured() as work:
        _work()

    assert 0 < work.seconds < 3 * LOOPS * pace._REFERENCE_SECONDS


def test_a_slow_machine_changes_nothing(monkeypatch):
    monkeypatch.setattr(pace, "_REFERENCE_SECONDS", pace._REFERENCE_SECONDS / 10)
    with pace.measured() as work:
        _work()

    assert work.seconds < 3 * LOOPS * pace._REFERENCE_SECONDS


def test_threads_and_child_processes_count():
    with pace.measured() as idle:
        pass
    with pace.measured() as threads, ThreadPoolExecutor(1) as pool:
        pool.submit(_work).result()
    with pace.measured() as children:
        subprocess.run([sys.executable, "-c", "for _ in range(2_000_000): pass"], check=True)

    assert idle.seconds < threads.seconds / 10
    assert idle.seconds < children.seconds / 10
