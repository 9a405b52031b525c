"""The mesh's settings: what is set counts, what cannot be read is Istio's default, and both are told apart."""

from __future__ import annotations

import pytest

from webhook.mesh.config import IstioConfiguration
from webhook.mesh.settings import DEFAULTS


def config_map(mesh, **metadata):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"} | metadata,
        "data": {"mesh": mesh},
    }


def test_settings_are_read():
    istio = IstioConfiguration.of([config_map("outboundTrafficPolicy: {mode: REGISTRY_ONLY}\nenableAutoMtls: false")])

    assert istio.settings.registry_only
    assert not istio.settings.enable_auto_mtls
    assert not istio.unread


def test_one_setting_that_cannot_be_read_does_not_lose_the_others():
    mesh = "enableAutoMtls: 7\nrootNamespace: mesh\ndefaultConfig: {holdApplicationUntilProxyStarts: soon}\nother: 1"
    istio = IstioConfiguration.of([config_map(mesh)])

    assert istio.settings.root_namespace == "mesh"
    assert istio.settings.enable_auto_mtls is DEFAULTS.enable_auto_mtls
    assert not istio.settings.held
    assert [unread.field for unread in istio.unread] == [
        "data.mesh.enableAutoMtls",
        "data.mesh.defaultConfig.holdApplicationUntilProxyStarts",
    ]


@pytest.mark.parametrize("mesh", ["", "# nothing", None])
def test_no_settings_are_the_defaults(mesh):
    istio = IstioConfiguration.of([config_map(mesh)])

    assert (istio.settings, istio.unread) == (DEFAULTS, [])


def test_a_setting_that_is_null_has_its_default():
    istio = IstioConfiguration.of([config_map("enableAutoMtls:\nrootNamespace: mesh")])

    assert (istio.settings.enable_auto_mtls, istio.settings.root_namespace, istio.unread) == (True, "mesh", [])


@pytest.mark.parametrize("mesh", ["{", "- a", "text", "a: &a [*a]", "[" * 5000, "x: !!binary '\x00'", {"a": 1}, 7])
def test_what_is_no_settings_at_all_is_reported_with_the_defaults(mesh):
    istio = IstioConfiguration.of([config_map(mesh)])

    assert istio.settings == DEFAULTS
    (unread,) = istio.unread
    assert str(unread) == "ConfigMap istio-system/istio"
    assert "defaults" in unread.outcome
    assert unread.field == "data.mesh"


@pytest.mark.parametrize("metadata", [{"name": "other"}, {"namespace": "shop"}])
def test_another_config_map_is_not_read(metadata):
    istio = IstioConfiguration.of([config_map("{", **metadata)])

    assert (istio.settings, istio.unread) == (DEFAULTS, [])
