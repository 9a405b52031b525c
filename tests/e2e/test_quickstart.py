"""The quick start, run as it stands in the documentation, block by block in one shell."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest
from api import eventually, has_sidecar
from product import COMMAND

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "quickstart.md"
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
STEP = re.compile(r"^## (\d)\. .*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(?:console|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CLIENTS = set(
    "basket-api catalog-api identity-api ordering-api ordering-backgroundtasks ordering-signalrhub payment-api "
    "webhooks-api webmvc webspa".split()
)
SECONDS = 120
"""How long a block may take."""
STORES = {"rabbitmq:5672", "sql-data:1433", "basket-data:6379", "keystore-data:6379", "nosql-data:27017"}


class Shell:
    """One bash that runs one block after the other, as a terminal does."""

    def __init__(self, directory, environment):
        self._bash = subprocess.Popen(
            ["bash"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=directory,
            env=environment,
            start_new_session=True,
        )

    def run(self, block):
        """Run a block; its output, after the exit code of its last command was found to be the one it says."""
        watch = threading.Timer(SECONDS, self.kill)
        watch.start()
        try:
            return self._run(block)
        finally:
            watch.cancel()

    def _run(self, block):
        self._bash.stdin.write(f'{block}\necho "[ended $?]"\n')
        self._bash.stdin.flush()
        lines = []
        while not (ended := re.fullmatch(r"(.*)\[ended (\d+)\]\n", line := self._bash.stdout.readline(), re.DOTALL)):
            assert line, f"the shell ended: {''.join(lines)}"
            lines.append(line)
        output = "".join(lines) + ended[1]
        said = re.search(r"# exits with (\d+)$", block.strip())
        assert int(ended[2]) == (int(said[1]) if said else 0), output
        return output

    def kill(self):
        """End it, and what it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait(10)

    def close(self):
        self.kill()
        self._bash.stdin.close()
        self._bash.stdout.close()


@pytest.fixture(scope="module")
def shell(istio, tmp_path_factory):
    directory = tmp_path_factory.mktemp("quickstart")
    (directory / "build").mkdir()
    (directory / "examples").symlink_to(ROOT / "examples")
    path = f"{istio.tools}:{COMMAND.parent}:{os.environ['PATH']}"
    shell = Shell(directory, os.environ | {"KUBECONFIG": str(istio.kubeconfig), "PATH": path})
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def step(shell):
    """Run a step of the page, and return what each of its blocks printed."""
    steps = {int(found[1]): BLOCK.findall(found[0]) for found in STEP.finditer(PAGE.read_text())}

    def step(number):
        return [shell.run(block) for block in steps.pop(number)]

    yield step
    assert not steps, "a step of the page was not run"


@pytest.fixture(scope="module")
def newest(istio):
    """For each workload of eShop whether its newest pod has a sidecar."""

    def newest():
        pods = sorted(istio.api.list("Pod", "eshop"), key=lambda pod: pod["metadata"]["creationTimestamp"])
        return {pod["metadata"]["labels"]["app"]: has_sidecar(pod) for pod in pods}

    return newest


def without(sidecars):
    return {app for app, injected in sidecars.items() if not injected}


def test_the_quick_start_goes_from_21_injected_pods_to_a_policy_and_to_mended_services(step, newest):
    step(1)
    assert len(newest()) == 21
    assert without(newest()) == set()

    (found,) = step(2)
    assert set(re.findall(r"^error http-declared eshop Service/(\S+): ", found, re.MULTILINE)) == STORES

    (planned,) = step(3)
    assert set(re.findall(r"^eshop +Deployment/(\S+) +inherit +\S+ +skip ", planned, re.MULTILINE)) == CLIENTS
    restarts = set(re.findall(r"^kubectl -n eshop rollout restart deployment/(\S+)$", planned, re.MULTILINE))
    assert restarts == CLIENTS
    assert "10 would change, 10 would lose the sidecar" in planned

    *_, asked, _ = step(4)
    assert "dependency redis" in asked
    eventually(lambda: without(newest()) == CLIENTS, what="the clients are without a sidecar, and nobody else is")

    fixed, _ = step(5)
    assert fixed.rstrip().endswith("no problems found")
    eventually(lambda: without(newest()) == set(), what="all 21 have their sidecar again")

    step(6)


def live_commands():
    for page in PAGES:
        for block in BLOCK.findall(page.read_text()) if page != PAGE else ():
            for command in re.findall(r"^\$ (?:\.venv/bin/)?(sidecar-policy .*--live.*)$", block, re.MULTILINE):
                yield pytest.param(command, id=f"{page.name}: {command}")


@pytest.mark.parametrize("command", list(live_commands()))
def test_a_documented_command_for_a_live_cluster_works_as_written(run, command):
    ended = run(command, cwd=ROOT)

    said = re.search(r"# exits with (\d+)", command)
    assert ended.returncode == (int(said[1]) if said else 0), ended.stderr
    assert ended.stdout or "no workload" in ended.stderr
