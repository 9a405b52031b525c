"""The images of the founding story: Istio's proxy with a real Envoy, and what stands for each image of examples/eshop.

They share their layers, and go into one archive; on the node each gets the names by which it is asked for.

Run as a program, it writes that archive.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

import envoy
import toolbox
import yaml
from image import ROOT, SUITE, Builder, ImageError
from toolbox import ToolError

EXAMPLE = ROOT / "examples" / "eshop"
CONTEXT = Path(__file__).with_name("eshop")
PACKAGES = (
    "iptables,redis-server,rabbitmq-server,python3,python3-pika,python3-redis,python3-tds,python3-pkg-resources,"
    "ca-certificates"
)
HUB, TAG = "localhost", "e2e"
STAGES = {
    "envoyproxy/envoy": "gateway",
    "mcr.microsoft.com/mssql/server": "mssql",
    "mongo": "mongo",
    "rabbitmq": "rabbitmq",
    "redis": "redis",
}
"""Of the images that the example names, what each is built from; all others are the application."""
BOOTSTRAP = "tools/packaging/common/envoy_bootstrap.json"


def objects() -> list[dict]:
    """All of the example, file by file."""
    texts = [path.read_text() for path in sorted(EXAMPLE.glob("*.yaml"))]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def names() -> dict[str, str]:
    """The images that the example and Istio ask for, by their full names, and the one that stands for each."""
    pods = [one["spec"]["template"]["spec"] for one in objects() if one["kind"] == "Deployment"]
    named = sorted({container["image"] for pod in pods for container in pod["containers"]})
    stages = {_full(name): STAGES.get(name.rpartition(":")[0], "application") for name in named}
    return {name: image(stage) for name, stage in (stages | {f"{HUB}/proxyv2:{TAG}": "proxy"}).items()}


def image(stage: str) -> str:
    """The name under which a stage is built."""
    return f"localhost/sidecar-policy-eshop-{stage}:e2e"


def write(archive: Path) -> None:
    """Build all images, and write them as one archive that containerd imports.

    Raises:
        ImageError: One does not come out.
        ToolError: pilot-agent cannot be built.
    """
    builder = Builder()
    digest = hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]
    base = builder.base(f"localhost/sidecar-policy-eshop-base:{SUITE}-{digest}", PACKAGES)
    with tempfile.TemporaryDirectory(prefix="sidecar-policy-eshop-") as directory:
        context, layout = Path(directory, "context"), Path(directory, "layout")
        _gather(context)
        for stage in ("proxy", "application", *STAGES.values()):
            how = ("--layers", "--isolation", "chroot", "--build-arg", f"BASE={base}", "--target", stage)
            builder("build", *how, "--tag", image(stage), context)
            builder("push", "--quiet", image(stage), f"oci:{layout}:{image(stage)}")
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(archive, "w") as tar:
            tar.add(layout, ".")


def _gather(context: Path) -> None:
    """The directory of the build: the Dockerfile and its programs, Envoy, pilot-agent, and Istio's template."""
    shutil.copytree(CONTEXT, context)
    shutil.copy(Path(envoy.__file__).parent / "_bin" / "envoy", context)
    shutil.copy(toolbox.build(toolbox.DATA_PLANE) / "pilot-agent", context)
    shutil.copyfile(toolbox.source("istio.io/istio") / BOOTSTRAP, context / "envoy_bootstrap.json")


def _full(name: str) -> str:
    """An image's name as a node completes it."""
    first, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    return name if "." in first else f"docker.io/{name}"


def main(archive: Path) -> int:
    try:
        write(archive)
    except (ImageError, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(archive)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
