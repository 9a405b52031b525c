"""The settings of the whole mesh: the ConfigMap `istio` in Istio's own namespace.

Source: istio.io reference, MeshConfig.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import yaml
from msgspec import Struct

from webhook.kubernetes.labels import LabelSelector
from webhook.kubernetes.unread import Unread
from webhook.kubernetes.yaml import CONFIGURATION, load
from webhook.mesh.objects import EVERYWHERE, OutboundPolicy
from webhook.problem import field_and_message

ROOT: Final = "istio-system"
"""Istio's own namespace, and the root namespace of its configuration unless the settings name another."""
CONFIG_MAP: Final = "istio"
"""The ConfigMap in `ROOT` with the mesh's settings."""


class _ProxyConfig(Struct, frozen=True, rename="camel"):
    hold_application_until_proxy_starts: bool = False


class MeshSettings(Struct, frozen=True, rename="camel"):
    """The settings of the mesh, with Istio's defaults.

    Attributes:
        outbound_traffic_policy: What sidecars do with connections to unknown destinations.
        enable_auto_mtls: Whether clients start mutual TLS with every server that can take it.
        root_namespace: Where objects apply to the whole mesh.
        discovery_selectors: The namespaces that Istio knows; None for all.
        default_service_export_to: The namespaces that see a Service which does not say.
        default_destination_rule_export_to: The same for a DestinationRule.
        default_config: The defaults of sidecars.
    """

    outbound_traffic_policy: OutboundPolicy = OutboundPolicy()
    enable_auto_mtls: bool = True
    root_namespace: str = ROOT
    discovery_selectors: list[LabelSelector] | None = None
    default_service_export_to: list[str] | None = None
    default_destination_rule_export_to: list[str] | None = None
    default_config: _ProxyConfig = _ProxyConfig()

    @property
    def registry_only(self) -> bool:
        """Whether sidecars close connections to unknown destinations."""
        return self.outbound_traffic_policy.mode == "REGISTRY_ONLY"

    @property
    def held(self) -> bool:
        """Whether applications start after their sidecar."""
        return self.default_config.hold_application_until_proxy_starts

    def discovers(self, namespace_labels: Mapping[str, str]) -> bool:
        """Return whether Istio knows the namespaces with these labels."""
        selectors = self.discovery_selectors
        return not selectors or any(selector.holds(namespace_labels) for selector in selectors)

    def exports_services_to(self) -> Iterable[str]:
        """Return the namespaces that see a Service which does not say."""
        return self.default_service_export_to or (EVERYWHERE,)


DEFAULTS: Final = MeshSettings()
_NAMES: Final = tuple(field.encode_name for field in msgspec.structs.fields(MeshSettings))
_KEY: Final = "mesh"
_FIELD: Final = f"data.{_KEY}"
_NOT_READ: Final = "skipped, Istio's defaults are assumed"
_ASSUMED: Final = "read in part, Istio's default is assumed for this setting"


def is_settings(document: Mapping[str, Any]) -> bool:
    """Return whether an object is the ConfigMap with the mesh's settings."""
    metadata = document.get("metadata")
    if document.get("kind") != "ConfigMap" or not isinstance(metadata, dict):
        return False
    return (metadata.get("name"), metadata.get("namespace")) == (CONFIG_MAP, ROOT)


def settings_of(document: Mapping[str, Any]) -> tuple[MeshSettings, list[Unread]]:
    """Return the settings in the mesh's ConfigMap, and why some of them are Istio's defaults instead.

    Each of the settings that cannot be read has its default, and the others are as they are set.
    """
    data = document.get("data") or {}
    text = data.get(_KEY) if isinstance(data, dict) else data
    if not isinstance(text, str | None):
        return DEFAULTS, [Unread(document, _FIELD, "must be text", _NOT_READ)]
    try:
        mesh = load(text or "{}", CONFIGURATION)
    except (yaml.YAMLError, RecursionError):
        return DEFAULTS, [Unread(document, _FIELD, "not valid YAML, or too large", _NOT_READ)]
    if mesh is None:
        return DEFAULTS, []
    if not isinstance(mesh, dict):
        return DEFAULTS, [Unread(document, _FIELD, "must contain settings by name", _NOT_READ)]
    kept: dict[str, Any] = {}
    unread = []
    for name in [name for name in _NAMES if mesh.get(name) is not None]:
        try:
            msgspec.convert({name: mesh[name]}, MeshSettings)
            kept[name] = mesh[name]
        except msgspec.ValidationError as error:
            field, message = field_and_message(error)
            unread.append(Unread(document, f"{_FIELD}.{field or name}", message, _ASSUMED))
    return msgspec.convert(kept, MeshSettings), unread
