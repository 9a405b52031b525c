"""The image, built for real without a daemon and without a registry: by buildah, on a base that debootstrap makes.

The base is made once and kept in the user's cache, in a storage of buildah's own.

Run as a program, it writes the images that a node needs into a directory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
REPOSITORY = "localhost/sidecar-policy"
TAG = "e2e"
BASE = f"localhost/sidecar-policy-base:{SUITE}"
PAUSE = "localhost/sidecar-policy-pause:e2e"
CERTIFICATES = "/etc/ssl/certs"
UNUSED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt/archives", "var/lib/apt/lists")
"""What an image has no use for, of what debootstrap leaves."""
# One process that reaps its children and does nothing else, as the pause container of a pod does.
PAUSE_SOURCE = """
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void reap(int number) { (void)number; while (waitpid(-1, 0, WNOHANG) > 0) {} }
static void leave(int number) { (void)number; _exit(0); }
int main(void) {
  signal(SIGCHLD, reap);
  signal(SIGTERM, leave);
  signal(SIGINT, leave);
  for (;;) pause();
}
"""


class ImageError(RuntimeError):
    """No image comes out. Its text is the end of what the builder said."""


class Builder:
    """buildah with a storage of its own."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._storage = cache / "sidecar-policy" / "images"
        self._storage.mkdir(parents=True, exist_ok=True)
        self._driver = "overlay"
        try:
            self("images")
        except ImageError:
            # overlay wants a file system below it that can be the upper layer.
            self._driver = "vfs"
            self("images")

    def __call__(self, *arguments: str | Path) -> str:
        """Run buildah and return its standard output.

        Raises:
            ImageError: It failed.
        """
        storage = ("--root", self._storage / self._driver, "--runroot", self._storage / "run")
        command = ["buildah", *storage, "--storage-driver", self._driver, *arguments]
        return run([str(part) for part in command])

    def base(self, name: str = BASE, packages: str = PACKAGES) -> str:
        """Make a base with these of Debian's packages, unless one of this name is there; return its name."""
        if name not in self("images", "--format", "{{.Name}}:{{.Tag}}").split():
            with tempfile.TemporaryDirectory(prefix="sidecar-policy-base-") as directory:
                run(["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, directory])
                for unused in UNUSED:
                    shutil.rmtree(Path(directory) / unused, ignore_errors=True)
                self._commit(name, Path(directory), "/")
        return name

    def build(self) -> str:
        """Build the Dockerfile of this repository; return the image's name."""
        name = f"{REPOSITORY}:{TAG}"
        trust = ("--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro")  # of whoever serves packages here
        base = self.base()
        how = ("--layers", "--isolation", "chroot", *trust)
        self("build", *how, "--build-arg", f"BASE_IMAGE={base}", "--tag", name, ROOT)
        return name

    def pause(self) -> str:
        """Build the image of a container that only waits; return its name."""
        with tempfile.TemporaryDirectory(prefix="sidecar-policy-pause-") as directory:
            source, binary = Path(directory, "pause.c"), Path(directory, "pause")
            source.write_text(PAUSE_SOURCE)
            run(["gcc", "-static", "-Os", "-o", str(binary), str(source)])
            self._commit(PAUSE, binary, "/pause", "--entrypoint", '["/pause"]', "--user", "65535:65535")
        return PAUSE

    def save(self, name: str, archive: Path) -> Path:
        """Write an image into a file that containerd can import."""
        self("push", "--quiet", name, f"docker-archive:{archive}:{name}")
        return archive

    def inspect(self, name: str) -> dict[str, Any]:
        """The image's configuration, as OCI has it."""
        return json.loads(self("inspect", "--type", "image", name))["OCIv1"]

    def size(self, name: str) -> int:
        """The bytes of all its layers, unpacked."""
        listed = json.loads(self("images", "--json", name))
        (image,) = listed
        number, unit = image["size"].split()
        return int(float(number) * {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}[unit.upper()])

    def _commit(self, name: str, source: Path, target: str, *configuration: str) -> None:
        container = self("from", "scratch").strip()
        try:
            self("add", container, source, target)
            if configuration:
                self("config", *configuration, container)
            self("commit", "--quiet", container, name)
        finally:
            self("rm", container)


def run(command: list[str]) -> str:
    """Run a program and return its standard output."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = (ended.stdout + ended.stderr).splitlines()
        raise ImageError("\n".join([" ".join(command), *said[-40:]]))
    return ended.stdout


def main(directory: Path) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    try:
        builder = Builder()
        for name in (builder.build(), builder.pause()):
            archive = directory / f"{name.rpartition('/')[2].partition(':')[0]}.tar"
            archive.unlink(missing_ok=True)
            builder.save(name, archive)
            print(archive)
    except ImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
