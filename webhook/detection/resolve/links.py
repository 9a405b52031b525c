"""Service links: the environment variables that the kubelet sets in each container for the Services of its namespace.

| variable                             | its value                                 |
|--------------------------------------|-------------------------------------------|
| REDIS_SERVICE_HOST                   | the cluster IP of Service redis           |
| REDIS_SERVICE_PORT                   | its first port                            |
| REDIS_SERVICE_PORT_METRICS           | its port of that name                     |
| REDIS_PORT, REDIS_PORT_6379_TCP      | tcp://IP:6379                             |
| REDIS_PORT_6379_TCP_ADDR, …_PORT, …_PROTO | the parts of that                    |

Here the Service's name is used for its cluster IP. Source: Kubernetes pkg/kubelet/envvars and getServiceEnvVarMap.
"""

from __future__ import annotations

import re

from webhook.core.surroundings import Service, ServicePort, Surroundings, as_variable
from webhook.kubernetes.pod import Pod

_LINK = re.compile(r"[A-Z][A-Z0-9_]*_(?:SERVICE_HOST|SERVICE_PORT|PORT)(?:_[A-Z0-9_]+)?")
_BEHIND_NAME = re.compile(r"_(?=SERVICE_(?:HOST|PORT)|PORT)")
_OF_PORT = re.compile(r"PORT_(?P<number>\d{1,5})_(?P<transport>TCP|UDP|SCTP)(?:_(?P<part>ADDR|PORT|PROTO))?")
# Every container has the links of this one, whatever the pod sets.
_API_SERVER = Service("default", "kubernetes", (ServicePort(443, "https"),))


class Links:
    """The service links of one pod's containers."""

    def __init__(self, pod: Pod, namespace: str, surroundings: Surroundings) -> None:
        self._enabled = pod.spec.enable_service_links is not False
        self._namespace = namespace
        self._surroundings = surroundings

    def value(self, name: str) -> str | None:
        """Return the value of a variable: a host, a port, or both as host:port; None when it is not a link."""
        if _LINK.fullmatch(name) is None:
            return None
        for behind in _BEHIND_NAME.finditer(name):
            service = self._service(name[: behind.start()])
            if service is not None and (value := self._said(service, name[behind.end() :])) is not None:
                return value
        return None

    def _service(self, variable: str) -> Service | None:
        if self._enabled:
            found = self._surroundings.services(self._namespace).linked(variable)
            if found is not None:
                return found
        return _API_SERVER if variable == "KUBERNETES" else None

    def _said(self, service: Service, what: str) -> str | None:
        host = service.name if service.namespace == self._namespace else f"{service.name}.{service.namespace}.svc"
        first = str(service.ports[0].number)
        if what in _OF_SERVICE:
            return _OF_SERVICE[what].format(host=host, port=first)
        if (named := what.removeprefix("SERVICE_PORT_")) != what:
            return next((str(port.number) for port in service.ports if as_variable(port.name or "") == named), None)
        port = _OF_PORT.fullmatch(what)
        ports = [(str(declared.number), declared.transport) for declared in service.ports]
        if port is None or port.group(1, 2) not in ports:
            return None
        return {"ADDR": host, "PORT": port["number"], "PROTO": port["transport"].lower()}.get(
            port["part"] or "", f"{host}:{port['number']}"
        )


_OF_SERVICE = {"SERVICE_HOST": "{host}", "SERVICE_PORT": "{port}", "PORT": "{host}:{port}"}
