"""Outside of the sandbox: nothing is left of it, however it ends."""

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

import packages
import pytest
from api import eventually
from sandbox import PREFIX, SETTINGS

SANDBOX = Path(__file__).with_name("sandbox.py")
# A daemon that its parent has left, in a cgroup of its own, with a mount, an interface, a rule and a changed setting.
MESS = """
set -e
for group in $(ls -d /sys/fs/cgroup/$SANDBOX_CGROUP /sys/fs/cgroup/*/$SANDBOX_CGROUP 2>/dev/null); do
  mkdir $group/pod
  echo $$ > $group/pod/cgroup.procs || true  # a cpuset takes nobody before it has cores
done
mount -t tmpfs sidecar-policy-mess $SANDBOX_DIRECTORY
ip link add mess type veth peer name mess2
iptables -t nat -N SIDECAR-POLICY-MESS
echo 7 > /proc/sys/kernel/panic
setsid sleep 4242 </dev/null >/dev/null 2>&1 &
touch /run/sidecar-policy-mess /var/lib/sidecar-policy-mess
echo made
"""


@pytest.fixture(autouse=True)
def able():
    if missing := packages.missing_for_node():
        pytest.exit(f"this machine can host no node: {missing}", returncode=1)


@pytest.fixture
def before():
    return left()


def left():
    """Traces on this machine."""
    commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    return {
        "processes": sum(b"sleep\x004242" in command for command in commands),
        "mounts": Path("/proc/mounts").read_text().count("sidecar-policy-mess"),
        "interfaces": [one.name for one in Path("/sys/class/net").iterdir()],
        "rules": "MESS" in subprocess.run(["iptables-save"], check=False, capture_output=True, text=True).stdout,
        "settings": [path.read_text() for path in SETTINGS if path.exists()],
        "cgroups": [one for tree in packages.hierarchies() for one in tree.glob(f"{PREFIX}*")],
        "directories": sorted(Path("/tmp").glob(f"{PREFIX}*")),
        "files": [path for path in ("/run/sidecar-policy-mess", "/var/lib/sidecar-policy-mess") if Path(path).exists()],
    }


@contextlib.contextmanager
def sandbox(script):
    """The sandbox with a script, once the script has made its mess."""
    command = [sys.executable, SANDBOX, "bash", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout.readline() == "made\n"
        yield process


@pytest.mark.parametrize("code", [0, 3])
def test_nothing_is_left_when_the_command_ends_and_its_exit_code_is_told(before, code):
    with sandbox(f"{MESS}exit {code}") as process:
        assert process.wait(30) == code

    assert left() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_after_a_signal(before, number):
    with sandbox(f"{MESS}exec sleep 4242") as process:
        process.send_signal(number)

        assert process.wait(30) == 130

    assert left() == before


def test_after_sigkill_no_process_is_left_and_the_next_run_removes_the_rest(before):
    with sandbox(f"{MESS}exec sleep 4242") as process:
        process.kill()
    eventually(lambda: not left()["processes"], seconds=10, what="its processes are gone")
    for path, value in zip([path for path in SETTINGS if path.exists()], before["settings"], strict=True):
        path.write_text(value)  # nobody else can

    with sandbox("echo made") as process:
        process.wait(30)

    assert left() == before


def test_without_root_one_line_says_so():
    command = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, str(SANDBOX), "true"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)

    assert ended.returncode == 1
    assert ended.stderr == "error: this machine can host no node: it takes root to be a node\n"
