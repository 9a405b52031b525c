"""The image: what is in it, what is not, and that it runs as it will run."""

import re

import image
import packages
import pytest
import yaml

import webhook

VERSION = webhook.__version__


@pytest.fixture(scope="module")
def builder():
    if missing := packages.missing_for_image():
        pytest.exit(f"no image can be built here: {missing}", returncode=1)
    return image.Builder()


@pytest.fixture(scope="module")
def built(builder):
    return builder.build()


@pytest.fixture(scope="module")
def container(builder, built):
    name = builder("from", built).strip()
    yield name
    builder("rm", name)


@pytest.fixture(scope="module")
def run(builder, container):
    """Run a program in the image, as the image's own user."""
    return lambda *command: builder("run", "--isolation", "chroot", container, "--", *command)


def test_it_runs_as_nobody_in_particular(built, builder, run):
    assert builder.inspect(built)["config"]["User"] == "65532:65532"
    assert run("id", "-u").strip() == "65532"


def test_the_command_is_there_under_both_names(run):
    assert run("sidecar-policy", "--version") == f"sidecar-policy {VERSION}\n"
    assert run("kubectl-sidecar_policy", "--version") == f"sidecar-policy {VERSION}\n"


def test_it_decides(run):
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}"

    assert '"action": "inherit"' in run("sh", "-c", f'echo "{pod}" | sidecar-policy explain -o json -f -')


def test_it_has_what_installs_and_compiles_nothing(run):
    found = run("sh", "-c", "ls /usr/bin /usr/local/bin /opt/sidecar-policy/bin").split()

    assert [
        name for name in found if re.fullmatch(r"(gcc|cc|g\+\+|c\+\+|ld|make|rustc|cargo|pip[\d.]*|uv)", name)
    ] == []


def test_what_is_installed_is_what_is_locked(run):
    listing = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = {one.lower().replace("_", "-") for one in run("/opt/sidecar-policy/bin/python", "-c", listing).split()}
    locked = re.findall(r"^([\w.-]+==[\w.]+)", (image.ROOT / "requirements/runtime.txt").read_text(), re.MULTILINE)

    assert installed - {one.lower() for one in locked} == {f"sidecar-policy=={VERSION}"}


def test_its_modules_are_compiled(run):
    package = run("/opt/sidecar-policy/bin/python", "-c", "import webhook; print(webhook.__path__[0])").strip()

    assert "engine." in run("ls", f"{package}/decision/__pycache__")


def test_it_says_what_it_is(built, builder):
    labels = builder.inspect(built)["config"]["Labels"]

    assert labels["org.opencontainers.image.title"] == "sidecar-policy"
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"] == VERSION


def test_chart_and_package_are_of_one_version():
    chart = yaml.safe_load((image.ROOT / "charts/sidecar-policy/Chart.yaml").read_text())

    assert chart["appVersion"] == VERSION


def test_it_adds_less_than_200_mb_to_its_base(built, builder):
    assert builder.size(built) - builder.size(image.BASE) < 200e6


def test_a_requirement_whose_hash_is_another_is_refused(builder, tmp_path):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").symlink_to(image.ROOT / "Dockerfile")
    (context / "requirements").mkdir()
    build = (image.ROOT / "requirements/build.txt").read_text()
    (context / "requirements/build.txt").write_text(re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", build))
    (context / "requirements/runtime.txt").write_text("")
    arguments = ("--isolation", "chroot", "--build-arg", f"BASE_IMAGE={builder.base()}")
    trust = ("--volume", f"{image.CERTIFICATES}:{image.CERTIFICATES}:ro")

    with pytest.raises(image.ImageError, match="DO NOT MATCH THE HASHES"):
        builder("build", *arguments, *trust, context)
