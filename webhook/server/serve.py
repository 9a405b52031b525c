"""The composition root: build the server from its settings, and run it until a signal."""

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

from webhook.decision.cache import DecisionCache
from webhook.inventory import manifests
from webhook.inventory.manifests import Manifests
from webhook.policy.source import PolicySource
from webhook.server.admission.deciding import Decider
from webhook.server.admission.workers import SWITCH_SECONDS
from webhook.server.allocator import return_large_memory
from webhook.server.http.app import create_app
from webhook.server.http.embedded import make_server
from webhook.server.http.ports import listen
from webhook.server.http.status import create_status_app
from webhook.server.observe.log_writer import AsyncLogWriter
from webhook.server.observe.logs import Threshold
from webhook.server.observe.metrics import Metrics
from webhook.server.observe.observer import Observer, watch_loop_lag
from webhook.server.observe.policy_status import PolicyReporter, policy_document, policy_health
from webhook.server.observe.readiness import Check, Readiness
from webhook.server.service import Listener, ServerProcess, Watch
from webhook.server.settings import ServerSettings
from webhook.server.tls.files import certificate_files
from webhook.server.tls.serving import ServingCertificate
from webhook.server.tls.sources import PairFiles
from webhook.verdicts.judge import Judge

if TYPE_CHECKING:
    from webhook.server.background.certificates import SelfManaged
    from webhook.server.cluster import LiveCluster


def serve(
    settings: ServerSettings, log: FilteringBoundLogger, threshold: Threshold, log_writer: AsyncLogWriter
) -> signal.Signals:
    """Serve until SIGTERM or SIGINT. A second signal ends the drain time early. SIGUSR1 toggles debug logging.

    SIGHUP and SIGUSR2 are ignored: policy and certificate are reloaded when their files change.

    Args:
        settings: The configuration.
        log: The logger of all parts.
        threshold: The log level, which may change.
        log_writer: The writer of the log's lines; the lines that it drops are counted.

    Returns:
        The first signal, after the shutdown is complete.

    Raises:
        PolicyError: The policy is invalid.
        ManifestError: The manifests cannot be read.
        NoClusterError: There are no manifests and no usable cluster configuration.
        UnservableError: The given certificate cannot be served.
        CertificateError: No certificate can be issued for the given names.
        PortError: A port is in use.
        ListenerError: A listener ended without a signal.
        OSError: The directory for a self-issued certificate cannot be written.
    """
    for which in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(which, signal.SIG_IGN)  # each would end the process, by default
    return_large_memory()
    with ExitStack() as cleanup:
        service, authority = compose(settings, log, log_writer, cleanup)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.get_loop().add_signal_handler(signal.SIGUSR1, _toggle, threshold, log)
            return runner.run(_until_signal(service, settings.host, authority))


def compose(
    settings: ServerSettings, log: FilteringBoundLogger, log_writer: AsyncLogWriter, cleanup: ExitStack
) -> tuple[ServerProcess, Path | None]:
    """Compose the service; every error that prevents a start is raised here.

    Args:
        settings: The configuration.
        log: The logger of all parts.
        log_writer: The writer of the log's lines.
        cleanup: Releases the sockets and the directory of a self-issued certificate.

    Returns:
        The service, and the CA certificate's file if the certificate is self-issued.

    Raises:
        Exception: The same errors as `serve`, except ListenerError.
    """
    # A thread that decides, or reads a large object, releases the GIL as soon as the event loop requests it.
    sys.setswitchinterval(SWITCH_SECONDS)
    metrics = Metrics(CollectorRegistry())
    metrics.count_lost_lines(lambda: log_writer.lost)
    policy_reporter = PolicyReporter(metrics, log)
    policies = PolicySource(settings.policy, on_outcome=policy_reporter)
    policy_reporter.start(policies)
    live = None if settings.manifests else _live(settings, policies, metrics, log)
    managed = None if live is None else _managed(settings, live, metrics, log)
    authority: Path | None = None
    if managed is None:
        certificate_file, key_file, authority = certificate_files(settings, cleanup)
        certificate = ServingCertificate(PairFiles(certificate_file, key_file), metrics=metrics, log=log)
    else:
        certificate = ServingCertificate(managed, metrics=metrics, log=log)
    inventory = _manifests(settings, policies, log) if live is None else live.inventory
    decider = Decider(
        policies=policies,
        surroundings=inventory,
        cache=_cache(metrics),
        look_up=None if live is None else live.inventory.look_up,
        connections=Judge(inventory),
        on_error=settings.on_error,
        strict=settings.strict,
    )
    events = None if live is None else live.events
    closing = [decider.workers.close] if live is None else [decider.workers.close, live.close]
    if settings.traces is None:
        app = create_app(decider, Observer(metrics, log, events), settings.limits)
    else:
        # An optional dependency.
        from webhook.server.observe.tracing import TracedObserver, Tracing  # noqa: PLC0415

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
    documents: list[Callable[[], Mapping[str, Any]]] = [partial(policy_document, policies)]
    if live is not None:
        if settings.drift:
            drift = live.look_for_drift(
                decider,
                every=settings.drift,
                lease=settings.drift_lease,
                metrics=metrics,
                log=log,
            )
            documents.append(drift.document)
        checks |= live.checks
        watches |= live.watches
    readiness = Readiness(checks)
    status_app = create_status_app(readiness, metrics.registry, *documents)
    webhook = cleanup.enter_context(listen(settings.host, settings.port, "--port"))
    status = cleanup.enter_context(listen(settings.host, settings.health_port, "--health-port"))
    service = ServerProcess(
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


def _cache(metrics: Metrics) -> DecisionCache:
    counts = {True: metrics.findings.labels("memory"), False: metrics.findings.labels("detection")}
    cache = DecisionCache(lambda remembered: counts[remembered].inc())
    metrics.remembered.set_function(lambda: len(cache))
    return cache


def _manifests(settings: ServerSettings, policies: PolicySource, log: FilteringBoundLogger) -> Manifests:
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


def _live(settings: ServerSettings, policies: PolicySource, metrics: Metrics, log: FilteringBoundLogger) -> LiveCluster:
    # The slowest of all imports, and only needed with a cluster.
    from webhook.cluster.client import connect  # noqa: PLC0415
    from webhook.server.cluster import LiveCluster  # noqa: PLC0415

    client = connect(settings.kubeconfig, settings.context)
    log.info("cluster", server=client.server)
    return LiveCluster(
        client, read_secrets=lambda: settings.secrets or policies.current.read_secrets, metrics=metrics, log=log
    )


def _managed(
    settings: ServerSettings, live: LiveCluster, metrics: Metrics, log: FilteringBoundLogger
) -> SelfManaged | None:
    from webhook.server.background.certificates import SelfManaged  # noqa: PLC0415 - needs the client too

    return None if settings.managed is None else SelfManaged(live.client, settings.managed, metrics=metrics, log=log)


def _toggle(threshold: Threshold, log: FilteringBoundLogger) -> None:
    # Logged at a severity that passes both the old and the new level.
    log.error("log level", to=threshold.toggle().value)


async def _until_signal(service: ServerProcess, host: str, authority: Path | None) -> signal.Signals:
    stop, skip_drain = asyncio.Event(), asyncio.Event()
    received: list[signal.Signals] = []

    def on_signal(which: signal.Signals) -> None:
        received.append(which)
        (skip_drain if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, on_signal, which)
    await service.run(stop, skip_drain, host=host, ca=None if authority is None else str(authority))
    return received[0]
