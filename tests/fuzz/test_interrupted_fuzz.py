"""A fuzz that is interrupted leaves nothing behind: no files, and no server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fuzz_leaves_no_files_and_no_processes(tmp_path, number):
    environment = os.environ | {"TMPDIR": str(tmp_path), "PYTHONPATH": "tests:tests/e2e"}
    command = [sys.executable, "tests/fuzz/fuzz.py", "--reviews", "0", "--tls", "100000"]
    fuzz = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not any('"listening"' in log.read_text() for log in tmp_path.glob("*/server.log")):
            assert fuzz.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        fuzz.send_signal(number)
        code = fuzz.wait(120)
    finally:
        fuzz.kill()
        fuzz.wait()

    assert code == 130
    assert list(tmp_path.iterdir()) == []
    assert not [environ for environ in _environments() if str(tmp_path).encode() in environ]


def _environments():
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            yield process.read_bytes()
        except OSError:
            continue
