"""Outside of the sandbox: nothing is left of it, however it ends."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import mesh_sandbox
import pytest
from api import eventually

SANDBOX = Path(mesh_sandbox.__file__)
# A program that its parent has left, with a pod's network and a rule.
MESS = """
set -e
ip netns add sidecar-policy-mess
iptables -t nat -N SIDECAR-POLICY-MESS
setsid sleep 424242 </dev/null >/dev/null 2>&1 &
touch /run/sidecar-policy-mess
echo made
"""


@pytest.fixture(autouse=True)
def able():
    if reason := mesh_sandbox.missing():
        pytest.exit(f"this machine can host no mesh: {reason}", returncode=1)


def left():
    """Traces on this machine."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return {
        "processes": sum(b"sleep\x00424242" in command for command in commands),
        "networks": "mess" in subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True).stdout,
        "rules": "MESS" in subprocess.run(["iptables-save"], check=False, capture_output=True, text=True).stdout,
        "files": Path("/run/sidecar-policy-mess").exists(),
        "hosts": Path("/etc/hosts").read_text(),
    }


@contextlib.contextmanager
def sandbox(script):
    """The sandbox with a script, once the script has made its mess."""
    command = [sys.executable, SANDBOX, "bash", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as running:
        try:
            assert running.stdout.readline() == "made\n"
            yield running
        finally:
            running.kill()


def test_the_commands_exit_code_is_passed_on_and_its_mess_is_gone():
    before = left()
    with sandbox(MESS + "exit 7") as running:
        assert running.wait(20) == 7
    eventually(lambda: left() == before, seconds=20, what="nothing is left")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_ended(number):
    before = left()
    with sandbox(MESS + "exec sleep 60") as running:
        eventually(lambda: left()["processes"] > before["processes"], seconds=20, what="the program runs")
        running.send_signal(number)
        running.wait(50)
    eventually(lambda: left() == before, seconds=20, what="nothing is left")


def test_what_is_missing_is_said_in_one_line(tmp_path):
    environment = os.environ | {"PATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, SANDBOX], check=False, capture_output=True, text=True, env=environment, timeout=20
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: this machine can host no mesh: on Debian, install golang iproute2 iptables")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("code", "kept"), [(0, []), (1, ["plane.log"]), (2, [])])
def test_of_its_temporary_files_only_a_failed_commands_logs_are_kept(tmp_path, code, kept):
    script = f"mkdir -p $TMPDIR/plane/logs $TMPDIR/plane/etcd; touch $TMPDIR/plane/logs/plane.log; exit {code}"
    done = subprocess.run(
        [sys.executable, SANDBOX, "bash", "-ec", script],
        check=False,
        capture_output=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        timeout=20,
    )
    assert done.returncode == code
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == kept


def test_its_network_leads_nowhere():
    done = subprocess.run(
        [sys.executable, SANDBOX, "ip", "-brief", "link"], check=True, capture_output=True, text=True, timeout=20
    )
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["lo"]
