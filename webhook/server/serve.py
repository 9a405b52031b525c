"""The composition root: from settings to a running server, and from a signal to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from prometheus_client import CollectorRegistry
from structlog.typing import FilteringBoundLogger

from webhook.core.surroundings import Surroundings
from webhook.inventory import manifests
from webhook.policy.source import PolicySource
from webhook.server.allocator import return_large_memory
from webhook.server.app import create_app
from webhook.server.certificate import certificate_files
from webhook.server.deciding import Decider
from webhook.server.embedded import make_server
from webhook.server.logs import Threshold
from webhook.server.memory import Memory
from webhook.server.metrics import Metrics
from webhook.server.observe import Observer, watch_loop_lag
from webhook.server.outlet import Outlet
from webhook.server.pairs import PairFiles
from webhook.server.policy_status import PolicyTelling, policy_document, policy_health
from webhook.server.ports import listen
from webhook.server.readiness import Check, Readiness
from webhook.server.service import Listener, Service, Watch
from webhook.server.settings import Settings
from webhook.server.status import create_status_app
from webhook.server.tls import ServingCertificate
from webhook.server.workers import SWITCH_SECONDS

if TYPE_CHECKING:
    from webhook.server.cluster import LiveCluster
    from webhook.server.managed import SelfManaged


def serve(settings: Settings, log: FilteringBoundLogger, threshold: Threshold, outlet: Outlet) -> signal.Signals:
    """Serve until SIGTERM or SIGINT. A second signal cuts the drain time short. SIGUSR1 switches the log to debug.

    SIGHUP and SIGUSR2 are ignored: policy and certificate are reloaded when their files change.

    Args:
        settings: What to serve.
        log: Is told of everything.
        threshold: What the log leaves out.
        outlet: Where the log's lines go; what it loses is counted.

    Returns:
        The first signal, once all is closed.

    Raises:
        PolicyError: The policy cannot be used.
        ManifestError: The manifests cannot be read.
        NoClusterError: Without manifests: it is not known how to reach a cluster.
        UnservableError: The given certificate cannot be served.
        CertificateError: None can be issued for the given names.
        PortError: A port is taken.
        ListenerError: A port was closed although no signal came.
        OSError: The directory for an issued certificate cannot be written.
    """
    for which in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(which, signal.SIG_IGN)  # each would end the process, by default
    return_large_memory()
    with ExitStack() as cleanup:
        service, authority = compose(settings, log, outlet, cleanup)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().add_signal_handler(signal.SIGUSR1, _toggle, threshold, log)
            return runner.run(_until_signal(service, settings.host, authority))


def compose(
    settings: Settings, log: FilteringBoundLogger, outlet: Outlet, cleanup: ExitStack
) -> tuple[Service, Path | None]:
    """Put the parts together; every reason not to start shows here.

    Args:
        settings: What to serve.
        log: Is told of everything.
        outlet: Where its lines go.
        cleanup: Gives back what was taken: sockets, and the directory of an issued certificate.

    Returns:
        The service, and the authority's certificate when the server issued its own.
    """
    # A thread that decides, or reads a large object, hands the interpreter over as soon as the event loop wants it.
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics = Metrics(CollectorRegistry())
    metrics.count_lost_lines(lambda: outlet.lost)
    telling = PolicyTelling(metrics, log)
    policies = PolicySource(settings.policy, on_outcome=telling)
    telling.start(policies)
    live = None if settings.manifests else _live(settings, policies, metrics, log)
    managed = None if live is None else _managed(settings, live, metrics, log)
    authority: Path | None = None
    if managed is None:
        certificate_file, key_file, authority = certificate_files(settings, cleanup)
        certificate = ServingCertificate(PairFiles(certificate_file, key_file), metrics=metrics, log=log)
    else:
        certificate = ServingCertificate(managed, metrics=metrics, log=log)
    decider = Decider(
        policies=policies,
        surroundings=_manifests(settings, policies, log) if live is None else live.inventory,
        memory=_memory(metrics),
        look_up=None if live is None else live.inventory.look_up,
        on_error=settings.on_error,
        strict=settings.strict,
    )
    events = None if live is None else live.events
    closing = [decider.workers.close] if live is None else [decider.workers.close, live.close]
    if settings.traces is None:
        app = create_app(decider, Observer(metrics, log, events), settings.limits)
    else:
        # An extra, of no use to most.
        from webhook.server.tracing import TracedObserver, Tracing  # noqa: PLC0415

        tracing = Tracing(settings.traces)
        closing.append(tracing.close)
        app = create_app(decider, TracedObserver(metrics, log, events), settings.limits, tracing.around)
    watches: dict[str, Watch] = {
        "policy": policies.watch,
        "certificate": certificate.watch,
        "loop lag": partial(watch_loop_lag, metrics),
    }
    checks: dict[str, Check] = {"policy": partial(policy_health, policies), "certificate": certificate.check}
    if managed is not None:
        checks["ca-bundle"] = managed.check
    told: list[Callable[[], Mapping[str, Any]]] = [partial(policy_document, policies)]
    if live is not None:
        if settings.drift:
            drift = live.look_for_drift(
                decider,
                every=settings.drift,
                lease=settings.drift_lease,
                metrics=metrics,
                log=log,
            )
            told.append(drift.document)
        checks |= live.checks
        watches |= live.watches
    readiness = Readiness(checks)
    status_app = create_status_app(readiness, metrics.registry, *told)
    webhook = cleanup.enter_context(listen(settings.host, settings.port, "--port"))
    status = cleanup.enter_context(listen(settings.host, settings.health_port, "--health-port"))
    service = Service(
        webhook=Listener(make_server(app, settings.limits, tls=certificate.context), webhook),
        status=Listener(make_server(status_app, settings.limits), status),
        readiness=readiness,
        watches=watches,
        drain=settings.drain,
        log=log,
        closing=closing,
        hasten=decider.workers.leave,
    )
    return service, authority


def _memory(metrics: Metrics) -> Memory:
    counts = {True: metrics.findings.labels("memory"), False: metrics.findings.labels("detection")}
    memory = Memory(lambda remembered: counts[remembered].inc())
    metrics.remembered.set_function(lambda: len(memory))
    return memory


def _manifests(settings: Settings, policies: PolicySource, log: FilteringBoundLogger) -> Surroundings:
    known = manifests.read(
        [str(path) for path in settings.manifests],
        secrets=settings.secrets or policies.current.read_secrets,
        pipes=False,
    )
    for note in known.notes:
        log.info("manifests", note=note)
    for problem in known.problems:
        log.warning("manifests", problem=str(problem))
    return known


def _live(settings: Settings, policies: PolicySource, metrics: Metrics, log: FilteringBoundLogger) -> LiveCluster:
    # The slowest of all imports, and of no use without a cluster.
    from webhook.cluster.client import connect  # noqa: PLC0415
    from webhook.server.cluster import LiveCluster  # noqa: PLC0415

    client = connect(settings.kubeconfig, settings.context)
    log.info("cluster", server=client.server)
    return LiveCluster(
        client, read_secrets=lambda: settings.secrets or policies.current.read_secrets, metrics=metrics, log=log
    )


def _managed(settings: Settings, live: LiveCluster, metrics: Metrics, log: FilteringBoundLogger) -> SelfManaged | None:
    from webhook.server.managed import SelfManaged  # noqa: PLC0415 - needs the client too

    return None if settings.managed is None else SelfManaged(live.client, settings.managed, metrics=metrics, log=log)


def _toggle(threshold: Threshold, log: FilteringBoundLogger) -> None:
    # Said at a severity that is seen on both sides of the change.
    log.error("log level", to=threshold.toggle().value)


async def _until_signal(service: Service, host: str, authority: Path | None) -> signal.Signals:
    stop, hurry = asyncio.Event(), asyncio.Event()
    received: list[signal.Signals] = []

    def on_signal(which: signal.Signals) -> None:
        received.append(which)
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, on_signal, which)
    await service.run(stop, hurry, host=host, ca=None if authority is None else str(authority))
    return received[0]
