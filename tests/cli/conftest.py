import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked import Forked
from typer.testing import CliRunner

from webhook.cli.main import app

COMMAND = Path(sys.executable).with_name("sidecar-policy")


@pytest.fixture
def command():
    """The installed command."""
    return COMMAND


@pytest.fixture
def plain_environment():
    """The environment without what changes how output is written, and outside of any cluster."""
    changing = {"FORCE_COLOR", "NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED"}
    kept = (name for name in os.environ if name not in changing and not name.startswith("KUBERNETES_"))
    return {name: os.environ[name] for name in kept}


@dataclass
class Ended:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command within the test's process, in a directory of its own, and returns how it ended."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, stdin="", **environment):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def run_forked(tmp_path, plain_environment):
    """Runs a command in a process of its own that is forked, in a directory of its own, and returns how it ended."""

    def run_forked(*arguments):
        stdout, stderr = tmp_path / "forked.out", tmp_path / "forked.err"
        for file in (stdout, stderr):
            file.write_text("")
        process = Forked(
            [str(argument) for argument in arguments],
            directory=tmp_path,
            environment=plain_environment,
            stdout=stdout,
            stderr=stderr,
        )
        try:
            return Ended(process.wait(60), stdout.read_text(), stderr.read_text())
        finally:
            process.kill()

    return run_forked


@pytest.fixture
def run_process(tmp_path, plain_environment):
    """Runs the installed command as a user would, in a directory of its own, and returns how it ended."""

    def run_process(*arguments, stdin="", program=COMMAND, cwd=tmp_path, **environment):
        ended = subprocess.run(
            [program, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=cwd,
            env=plain_environment | environment,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return run_process


@pytest.fixture
def deployment():
    """Makes a Deployment in namespace shop, by default with a client of redis in it, as YAML."""

    def manifest(name, url="redis://store:6379"):
        return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - {{name: {name}, image: shop, env: [{{name: REDIS_URL, value: {url}}}]}}
"""

    return manifest
