"""What the server sets up."""

import io
import sys
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from webhook.cluster.turns import SLICE_SECONDS
from webhook.server.observe.logs import make_logger
from webhook.server.serve import compose
from webhook.server.settings import LogFormat, ServerSettings


@pytest.fixture(autouse=True)
def usual_interval():
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def composed(tmp_path, **how):
    settings = ServerSettings(host="127.0.0.1", port=0, health_port=0, cert_dir=tmp_path, **how)
    with ExitStack() as cleanup:
        outlet: Any = SimpleNamespace(lost=0)
        compose(settings, make_logger(io.StringIO(), LogFormat.JSON), outlet, cleanup)


def test_a_thread_that_reads_the_cluster_keeps_a_request_waiting_for_less_than_a_slice(kubeconfig, tmp_path):
    composed(tmp_path, kubeconfig=kubeconfig)

    assert sys.getswitchinterval() < SLICE_SECONDS


def test_a_thread_that_decides_keeps_a_request_waiting_for_less_than_a_slice(tmp_path):
    (tmp_path / "shop.yaml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
    composed(tmp_path, manifests=(tmp_path / "shop.yaml",))

    assert sys.getswitchinterval() < SLICE_SECONDS
