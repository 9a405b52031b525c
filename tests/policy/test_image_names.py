from __future__ import annotations

import pytest

from webhook.policy.image import image_names

DIGEST = "@sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx", "docker.io/library/nginx"),
        ("nginx:1.25", "docker.io/library/nginx:1.25"),
        ("docker.io/nginx:1.25", "nginx:1.25"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx:latest", "nginx"),
        ("bitnami/redis", "docker.io/bitnami/redis:latest"),
        ("docker.io/bitnami/redis:7", "bitnami/redis:7"),
        (f"nginx{DIGEST}", f"docker.io/library/nginx{DIGEST}"),
        (f"nginx:1{DIGEST}", f"docker.io/library/nginx:1{DIGEST}"),
        (f"nginx:1{DIGEST}", f"docker.io/library/nginx{DIGEST}"),
        (f"nginx:1{DIGEST}", f"nginx{DIGEST}"),
        (f"docker.io/library/nginx:latest{DIGEST}", f"nginx{DIGEST}"),
        (f"ghcr.io/a/b:2{DIGEST}", f"ghcr.io/a/b{DIGEST}"),
        (f"registry:5000/web:2{DIGEST}", f"registry:5000/web{DIGEST}"),
        ("registry-1.docker.io/library/nginx:1", "docker.io/library/nginx:1"),
        ("registry-1.docker.io/bitnami/redis", "bitnami/redis:latest"),
        ("registry.hub.docker.com/library/nginx", "nginx:latest"),
        ("localhost/web", "localhost/web:latest"),
        ("registry:5000/web", "registry:5000/web:latest"),
        ("[2001:db8::1]:5000/web", "[2001:db8::1]:5000/web:latest"),
        ("Registry/web", "Registry/web:latest"),
    ],
)
def test_an_image_has_the_names_that_container_runtimes_have_for_it(image, name):
    assert image_names(image)[0] == image
    assert name in image_names(image)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "Nginx",
        "nginx:",
        "nginx@",
        "nginx@sha256:short",
        "a//b",
        "/nginx",
        "docker.io/",
        "ftp://example/web",
        "nginx:1:2",
        "nginx: 1",
        "0123456789abcdef" * 4,
        "a" * 300,
        "a" * (1 << 20),
        "registry.example:port/web",
    ],
)
def test_what_is_no_valid_reference_stays_as_it_is(image):
    assert image_names(image) == (image,)


@pytest.mark.parametrize("image", ["registry.example/web:1", "localhost:5000/web:1", "registry:5000/library/nginx:1"])
def test_another_registry_is_never_dockers(image):
    assert image_names(image) == (image,)


@pytest.mark.parametrize(
    ("glob", "image", "matches"),
    [
        ("docker.io/*", "nginx", True),
        ("docker.io/*", "bitnami/redis:7", True),
        ("docker.io/*", "ghcr.io/a/b", False),
        ("docker.io/*", "localhost/nginx", False),
        ("nginx*", "nginx:1.25", True),
        ("nginx*", "docker.io/library/nginx:1.25", True),
        ("nginx", "nginx:latest", True),
        ("nginx:latest", "nginx", True),
        ("nginx:latest", "nginx:1.25", False),
        ("*:latest", "registry.example/web", True),
        ("*:latest", f"registry.example/web{DIGEST}", False),
        ("docker.io/library/nginx:1.2?", "nginx:1.25", True),
        ("docker.io/library/nginx@sha256:*", f"nginx{DIGEST}", True),
        ("docker.io/library/nginx@sha256:*", f"nginx:1{DIGEST}", True),
        ("docker.io/library/nginx@sha256:*", f"index.docker.io/nginx:1{DIGEST}", True),
        ("docker.io/library/nginx@sha256:*", "nginx:1", False),
        ("nginx:latest", f"nginx{DIGEST}", False),
        ("nginx", f"nginx:latest{DIGEST}", False),
        ("docker.io/*", "registry-1.docker.io/library/nginx", True),
        ("docker.io/*", "registry-1.docker.io.example/library/nginx", False),
        ("registry-1.docker.io/*", "nginx", True),
        ("index.docker.io/library/*", "nginx:1", True),
        ("registry-1.docker.io/*", "ghcr.io/a/b", False),
    ],
)
def test_a_glob_over_images_matches_any_of_the_names(compiled, facts_of, glob, image, matches):
    ruling = compiled({"name": "r", "action": "skip", "match": {"images": [glob]}}).ruling(facts_of(images=[image]))

    assert ruling.rule == ("r" if matches else None)
    assert ruling.matched == ((f"image {image}",) if matches else ())
