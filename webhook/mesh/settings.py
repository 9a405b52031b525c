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
from webhook.kubernetes.unread import Unread, understood
from webhook.kubernetes.yaml import CONFIGURATION, load
from webhook.mesh.objects import EVERYWHERE, OutboundPolicy

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


def settings_of(documents: Iterable[Mapping[str, Any]]) -> MeshSettings | None:
    """Return the mesh's settings from among other objects; None where they are not among them, or cannot be read."""
    for document in documents:
        if document.get("kind") != "ConfigMap":
            continue
        found = understood(document, _ConfigMap)
        if isinstance(found, Unread) or (found.metadata.name, found.metadata.namespace) != (CONFIG_MAP, ROOT):
            continue
        try:
            mesh = load((found.data or {}).get("mesh") or "{}", CONFIGURATION)
            return msgspec.convert(mesh, MeshSettings)
        except (yaml.YAMLError, msgspec.ValidationError):
            continue
    return None


class _Metadata(Struct, frozen=True):
    name: str = ""
    namespace: str = ""


class _ConfigMap(Struct, frozen=True):
    metadata: _Metadata
    data: dict[str, str | None] | None = None
