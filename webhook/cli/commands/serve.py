"""`serve`: the webhook server."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from webhook.cli.exits import ExitCode
from webhook.cli.managed import (
    AUTHORITY_LIFETIME,
    CERT_LIFETIME,
    SERVE_WAIT,
    TRUST_WAIT,
    AuthorityLifetime,
    CertLifetime,
    CertSecret,
    ServeWait,
    Service,
    TrustWait,
    WebhookConfiguration,
    managed,
    place,
    pod_namespace,
)
from webhook.cli.options import Context, Kubeconfig, check_context, duration, failure
from webhook.server.settings import LogFormat, LogLevel, OnError, ServerSettings


def _traces(url: str) -> str:
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter(f"invalid OTLP collector URL {url!r} (example: http://collector:4318/v1/traces)")
    try:
        import webhook.server.observe.tracing  # noqa: F401 - only whether it can be had
    except ImportError as error:
        raise typer.BadParameter(f"{error.name} is missing: pip install 'sidecar-policy[otel]'") from None
    return url


def serve(  # noqa: PLR0913 - one parameter for each option
    *,
    manifests: Annotated[
        list[Path] | None,
        typer.Option("--manifests", help="YAML files or directories to use instead of a cluster. Repeatable."),
    ] = None,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option("--policy", help="The policy: a file or directory. Repeatable. [default: the built-in policy]"),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "0.0.0.0",  # noqa: S104 - for pods
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="The TLS port; 0 for any free port.")] = 8443,
    health_port: Annotated[
        int,
        typer.Option(
            "--health-port", min=0, max=65535, help="The plain HTTP port for probes and metrics; 0 for any free port."
        ),
    ] = 8080,
    cert: Annotated[
        Path | None,
        typer.Option("--cert", help="The serving certificate in PEM. By default the server issues its own."),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", help="The private key in PEM.")] = None,
    cert_dir: Annotated[
        Path | None,
        typer.Option(
            "--cert-dir", help="Where a self-issued certificate is stored, with the ca.crt that clients must trust."
        ),
    ] = None,
    dns: Annotated[
        list[str] | None,
        typer.Option("--dns", help="A DNS name (SAN) of a self-issued certificate, besides localhost. Repeatable."),
    ] = None,
    cert_secret: CertSecret = None,
    service: Service = None,
    webhook_configuration: WebhookConfiguration = None,
    cert_lifetime: CertLifetime = CERT_LIFETIME,
    authority_lifetime: AuthorityLifetime = AUTHORITY_LIFETIME,
    trust_wait: TrustWait = TRUST_WAIT,
    serve_wait: ServeWait = SERVE_WAIT,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Read Secrets even if the policy does not enable it.")
    ] = False,
    on_error: Annotated[
        OnError,
        typer.Option(
            "--on-error", help="What to answer when evaluating a pod fails; with --strict, /validate rejects it."
        ),
    ] = OnError.ALLOW,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="/validate rejects pods that differ from the decision, or that it cannot check, instead of warning.",
        ),
    ] = False,
    drain: Annotated[
        float,
        typer.Option(
            "--drain",
            parser=duration,
            metavar="TIME",
            show_default=False,
            help="How long to report 'not ready' before closing. [default: 5s]",
        ),
    ] = 5.0,
    drift: Annotated[
        float,
        typer.Option(
            "--drift",
            parser=duration,
            metavar="TIME",
            show_default=False,
            help="Interval of the drift checks: running pods that differ from current decisions; 0 disables them. "
            "[default: 10m]",
        ),
    ] = 600.0,
    drift_lease: Annotated[
        str | None,
        typer.Option(
            "--drift-lease",
            parser=place,
            metavar="NAMESPACE/NAME",
            help="The Lease that elects the replica that checks. Default in a pod: sidecar-policy-drift in its "
            "namespace; "
            "elsewhere every replica checks.",
            show_default=False,
        ),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(
            "--traces",
            parser=_traces,
            metavar="URL",
            help="Send a span for each review to this OTLP collector, for example http://collector:4318/v1/traces. "
            "Requires the extra: pip install 'sidecar-policy[otel]'.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        LogFormat | None,
        typer.Option("--log-format", help="[default: console at a terminal, else json]", show_default=False),
    ] = None,
    log_level: Annotated[LogLevel, typer.Option("--log-level")] = LogLevel.INFO,
) -> None:
    """Serve the admission webhook over TLS, and probes, metrics and the active policy on a plain port.

    The cluster context of a pod is read from the cluster that the server runs in, or from that of --kubeconfig;
    --manifests replaces a cluster. The policy and the certificate are reloaded when their files change.

    Logs go to standard error. The line with the event "listening" has both ports and, for a self-issued certificate,
    the ca.crt. On SIGTERM /readyz fails, the drain time passes, requests in flight finish, and the server exits with 0.
    SIGUSR1 toggles the log level debug.

    Exit codes: 0 stopped by SIGTERM; 1 the policy has problems; 2 usage error; 3 a file cannot be read or a port is
    in use; 130 interrupted.
    """
    if (cert is None) != (key is None):
        raise typer.BadParameter("--cert and --key must be used together")
    if manifests and (kubeconfig or context):
        raise typer.BadParameter("--manifests cannot be combined with --kubeconfig or --context")
    check_context(kubeconfig, context)
    certificates = None
    if cert_secret and (cert or cert_dir or manifests):
        raise typer.BadParameter("--cert-secret cannot be combined with --cert, --cert-dir or --manifests")
    if cert_secret or not (cert or cert_dir or manifests or kubeconfig or pod_namespace() is None):
        certificates = managed(
            cert_secret,
            service,
            webhook_configuration,
            names=dns or (),
            lifetimes=(cert_lifetime, authority_lifetime),
            waits=(trust_wait, serve_wait),
        )
    settings = ServerSettings(
        manifests=tuple(manifests or ()),
        kubeconfig=kubeconfig,
        context=context,
        policy=tuple(policy or ()),
        host=host,
        port=port,
        health_port=health_port,
        certificate=cert,
        key=key,
        managed=certificates,
        cert_dir=cert_dir,
        names=tuple(dns or ()),
        secrets=secrets,
        on_error=on_error,
        strict=strict,
        drain=drain,
        traces=traces,
        drift=drift,
        drift_lease=_lease(drift_lease),
    )
    if log_format is None:
        log_format = LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON
    _serve(settings, log_format, log_level)


def _lease(written: str | None) -> tuple[str, str] | None:
    here = pod_namespace()
    written = written or (here and f"{here}/sidecar-policy-drift")
    if not written:
        return None
    namespace, _, name = written.partition("/")
    return namespace, name


def _serve(settings: ServerSettings, log_format: LogFormat, log_level: LogLevel) -> None:
    from certs.issue import CertificateError
    from webhook.cluster.errors import NoClusterError
    from webhook.inventory.manifests import ManifestError
    from webhook.policy.load import PolicyError
    from webhook.server.http.ports import PortError
    from webhook.server.observe.log_writer import AsyncLogWriter
    from webhook.server.observe.logs import Threshold, capture_standard_logging, make_logger
    from webhook.server.serve import serve as run
    from webhook.server.service import ListenerError
    from webhook.server.tls.sources import UnservableError

    threshold = Threshold(log_level)
    log_writer = AsyncLogWriter(sys.stderr)
    log = make_logger(log_writer, log_format, threshold)
    capture_standard_logging(log)
    try:
        received = run(settings, log, threshold, log_writer)
    except PolicyError as error:
        code = ExitCode.UNREADABLE if error.unreadable else ExitCode.NEGATIVE
        raise failure(code, *map(str, error.problems)) from None
    except ManifestError as error:
        raise failure(ExitCode.UNREADABLE, *map(str, error.problems)) from None
    except CertificateError as error:
        raise failure(ExitCode.USAGE, f"error: {error}; see --dns") from None
    except NoClusterError as error:
        hint = "" if settings.kubeconfig else ", or --manifests DIR to run without a cluster"
        raise failure(ExitCode.UNREADABLE, f"error: {error}{hint}") from None
    except (PortError, UnservableError, ListenerError) as error:
        raise failure(ExitCode.UNREADABLE, f"error: {error}") from None
    except OSError as error:
        raise failure(ExitCode.UNREADABLE, f"error: {error.filename}: {error.strerror}") from None
    finally:
        log_writer.close()
    if received is signal.SIGINT:
        raise typer.Exit(ExitCode.INTERRUPTED)
