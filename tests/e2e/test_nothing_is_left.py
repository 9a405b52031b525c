"""Whatever ends the test bed, nothing that it started goes on."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from api import eventually

PROGRAM = Path(__file__).with_name("cluster.py")


@pytest.fixture
def cluster(tools, tmp_path):
    """`make cluster`, up, as a process of its own."""
    command = [sys.executable, PROGRAM, "--kubeconfig", tmp_path / "kubeconfig"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("Ctrl-C"):
                break
        yield process
        process.kill()
    shutil.rmtree(tmp_path)


def started(directory):
    """The processes whose command line or working directory is below a directory, but for the one that is asked for."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(directory):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_ctrl_c_ends_everything_and_removes_its_files(cluster, tmp_path):
    assert len(started(tmp_path)) == 4

    cluster.send_signal(signal.SIGINT)

    assert cluster.wait(30) == 0
    assert started(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_not_even_sigkill_leaves_a_program_behind(cluster, tmp_path):
    assert len(started(tmp_path)) == 4

    cluster.kill()
    cluster.wait(30)

    eventually(lambda: not started(tmp_path), seconds=10, what="all programs are gone")
