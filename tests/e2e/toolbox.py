"""Build the tools of a pinned Go module, once: they are kept in the user's cache.

The cache directory is named after everything that decides what comes out: the module's files, the linker's flags
and the Go version. Each binary appears under its name only when it is whole, so an interrupted build goes on where
it stopped, and Go's own build cache keeps what was compiled of the tool that was interrupted.

Run as a program, it builds what is missing and prints the directory.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MODULE = Path(__file__).parent / "tools"
"""The test bed's; other modules name their tools in the same way, in their go.mod."""

CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager")
ISTIO = ("istioctl", "pilot-discovery")
DATA_PLANE = ("pilot-agent",)
"""What runs in a pod of the mesh, beside Envoy."""

CLIENTS = ("kubectl", "helm")
NODE = ("kube-scheduler", "kubelet", "kube-proxy")
"""What a node needs on top; no scenario without a node builds them."""

NAMES = {"go.etcd.io/etcd/server/v3": "etcd"}
"""The binaries that are not named after the last element of their package's path."""

REPORT_EVERY = 30.0
"""Seconds between two lines of progress where the output is no terminal."""


class ToolError(RuntimeError):
    """A tool cannot be built here. Its text is for people."""


def directory(module: Path = MODULE) -> Path:
    """Where the binaries of a module and this Go are kept, whether or not they are there yet.

    Args:
        module: The module's directory.

    Raises:
        ToolError: Go is not installed.
    """
    digest = hashlib.sha256()
    files = [*sorted(module.glob("go.*")), *sorted(module.rglob("*.go"))]
    for part in (_go(module, "version"), *(path.read_text() for path in files), *_flags(_read(module))):
        digest.update(part.encode() + b"\0")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "sidecar-policy" / "e2e" / digest.hexdigest()[:16]


def source(path: str) -> Path:
    """The directory of a Go module's source that the test bed's tools are built from."""
    return Path(_go(MODULE, "list", "-m", "-f", "{{.Dir}}", path).strip())


def version(path: str) -> str:
    """The pinned version of a Go module that the test bed's tools are built from."""
    return _go(MODULE, "list", "-m", "-f", "{{.Version}}", path).strip()


def build(names: tuple[str, ...], module: Path = MODULE) -> Path:
    """Build those of a module's tools that are not there yet, one after the other.

    Args:
        names: The binaries' names.
        module: The module's directory.

    Returns:
        The directory that holds them.

    Raises:
        ToolError: Go is not installed, the module has no such tool, or it does not compile.
    """
    target = directory(module)
    target.mkdir(parents=True, exist_ok=True)
    read = _read(module)
    packages = {NAMES.get(tool["Path"], tool["Path"].rpartition("/")[2]): tool["Path"] for tool in read["Tool"]}
    if unknown := [name for name in names if name not in packages]:
        raise ToolError(f"{module / 'go.mod'} has no tool {unknown[0]}; it has {', '.join(sorted(packages))}")
    with _alone(target):
        missing = [name for name in names if not (target / name).exists()]
        if missing:
            _say(f"building {len(missing)} tools into {target}: minutes the first time, nothing afterwards")
        for number, name in enumerate(missing, 1):
            command = [_go_binary(module), "build", *_flags(read), "-o"]
            _build_one(module, command, packages[name], target / name, f"[{number} of {len(missing)}] {name}")
    return target


def _build_one(module: Path, command: list[str], package: str, binary: Path, title: str) -> None:
    unfinished = binary.with_name(f".{binary.name}.unfinished")
    environment = os.environ | {"CGO_ENABLED": "0"}
    with subprocess.Popen(
        [*command, str(unfinished), package],
        cwd=module,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as compiler:
        try:
            output = _wait(compiler, title)
        except BaseException:
            compiler.terminate()
            raise
    if compiler.returncode:
        raise ToolError(f"{title}: go build failed\n{output[-4000:]}")
    unfinished.replace(binary)


def _wait(compiler: subprocess.Popen[str], title: str) -> str:
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    while True:
        try:
            output, _ = compiler.communicate(timeout=1.0 if terminal else REPORT_EVERY)
        except subprocess.TimeoutExpired:
            _say(f"{title} … {_elapsed(started)}", last=not terminal)
        else:
            _say(f"{title} {'built' if not compiler.returncode else 'failed'} in {_elapsed(started)}")
            return output


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes} min {seconds:02} s"


def _say(text: str, *, last: bool = True) -> None:
    start = "\r\033[K" if sys.stderr.isatty() else ""
    print(start + text, end="\n" if last else "", file=sys.stderr, flush=True)


def _flags(module: dict) -> tuple[str, ...]:
    flags = ("-trimpath", "-buildvcs=false", "-mod=readonly")
    version = next((need["Version"] for need in module["Require"] if need["Path"] == "k8s.io/kubernetes"), None)
    if version is None:
        return flags
    # Kubernetes' own release build sets its version at link time; without it, version checks see 0.0.0.
    major, minor = re.match(r"v(\d+)\.(\d+)\.", version).groups()
    variables = {
        "k8s.io/component-base/version.gitVersion": version,
        "k8s.io/component-base/version.gitMajor": major,
        "k8s.io/component-base/version.gitMinor": minor,
    }
    linker = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables.items())])
    return (*flags, f"-ldflags={linker}")


def _read(module: Path) -> dict:
    return json.loads(_go(module, "mod", "edit", "-json"))


def _go(module: Path, *arguments: str) -> str:
    done = subprocess.run([_go_binary(module), *arguments], cwd=module, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"go {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _go_binary(module: Path) -> str:
    if found := shutil.which("go"):
        return found
    wanted = re.search(r"^go (\S+)", (module / "go.mod").read_text(), re.MULTILINE).group(1)
    raise ToolError(f"the programs of {module} are built from source: install Go >= {wanted} (no go in PATH)")


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the end-to-end tests' tools into the user's cache.")
    parser.add_argument("tools", nargs="*", help="their names (default: all but those that only a node needs)")
    names = tuple(parser.parse_args().tools) or CONTROL_PLANE + ISTIO + CLIENTS
    try:
        print(build(names))
    except ToolError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the next run goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
