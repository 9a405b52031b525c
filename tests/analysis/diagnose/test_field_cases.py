"""Applications that broke in the field: what is said of each, and what is not."""

from pathlib import Path

import pytest
from analysed import codes, diagnosed

FIELD = Path(__file__).parent / "field"


def policy(kind, action):
    return f"""
apiVersion: sidecar-policy.dev/v1alpha1
kind: InjectionPolicy
metadata: {{name: mine}}
spec: {{rules: [{{name: clients, match: {{dependencies: [{kind}]}}, action: {action}}}]}}
"""


NONE = policy("ldap", "skip")


def found(name, **options):
    return diagnosed((FIELD / f"{name}.yaml").read_text(), namespace="", **options)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("nats-client", {}, [("server-first-sniffed", "error", "stan")]),
        ("cockroach-grpc", {}, [("http-declared", "error", "crdb-public"), ("http-declared", "error", "crdb")]),
        ("http-on-database-port", {}, [("port-captured", "error", "reports")]),
        ("externalname-hijack", {}, [("http-declared", "info", "erp")]),
        ("externalname-hijack", {"policy": NONE}, [("http-declared", "info", "erp")]),
        ("init-wait-for-db-strict", {}, []),
        ("init-wait-for-db-strict", {"native": False, "policy": NONE},
         [("init-before-sidecar", "error", "filer"), ("hold-missing", "warning", "filer")]),
        ("job-migrate-and-task-pods", {}, []),
        ("job-migrate-and-task-pods", {"native": False},
         [("job-never-finishes", "error", name)
          for name in ("setup-schema", "batch-process-1", "etl-extract-7d1f", "report-driver")]),
        ("kafka-advertised-ports", {}, []),
        ("kafka-advertised-ports", {"policy": policy("kafka", "bypass")},
         [("ports-not-bypassed", "warning", "consumer")]),
        ("azure-sql-redirect", {}, []),
        ("azure-sql-redirect", {"policy": policy("mssql", "bypass")}, [("ports-not-bypassed", "warning", "erp-api")]),
        ("sftp-ssh", {}, [("server-first-sniffed", "error", "sftp"), ("http-declared", "warning", "ftp")]),
        ("etcd-tls-client", {}, [("tls-declared-http", "error", "store")]),
        ("elastic-headless-without-transport", {}, [("peer-port-unlisted", "error", "es-master-headless")]),
        ("strict-and-default-skip", {},
         [("strict-refuses", "error", "bridge"), ("strict-refuses", "error", "settle")]),
        ("strict-and-default-skip", {"policy": NONE}, [("strict-refuses", "error", "bridge")]),
        ("rev-label-conflict", {},
         [("revision-ignored", "warning", "trial"), ("two-data-planes", "warning", "mix"),
          ("http-declared", "info", "cache")]),
        ("rabbit-external-starts-first", {"native": False, "policy": NONE},
         [("hold-missing", "warning", "consumer"), ("hold-missing", "warning", "sender")]),
        ("port-level-mtls", {}, []),
        ("linkerd", {}, [("other-mesh", "info", "web"), ("server-first-sniffed", "info", "bus")]),
        ("shutdown-and-idle", {}, [("permissive-waits", "info", "db")]),
        ("shutdown-and-idle", {"native": False},
         [("ends-first", "warning", "worker"), ("hold-missing", "warning", "worker"),
          ("permissive-waits", "info", "db")]),
        ("mysql-permissive-plain-client", {}, [("permissive-waits", "error", "mysql")]),
        ("mysql-permissive-plain-client", {"policy": policy("mysql", "skip")},
         [("permissive-waits", "error", "mysql"), ("skipped-for-a-service", "warning", "cart")]),
        ("mysql-permissive-plain-client", {"policy": policy("mysql", "bypass")},
         [("permissive-waits", "error", "mysql"), ("skipped-for-a-service", "warning", "cart")]),
        ("annot-strict", {}, [("strict-refuses", "error", "cart")]),
        ("https-to-http", {}, [("tls-declared-http", "error", "idp"), ("tls-declared-http", "error", "search")]),
        ("init-only", {"native": False}, []),
        ("no-mesh", {}, [("http-declared", "info", "cache")]),
    ],
)  # fmt: skip
def test_of_an_application_that_broke_in_the_field_the_cause_is_found_and_nothing_else(name, options, expected):
    assert codes(found(name, **options)) == expected


def test_a_service_that_captures_a_database_port_is_not_said_to_speak_its_protocol():
    (captured,) = found("http-on-database-port")

    assert "speaks" not in captured.message
    assert "exportTo" in captured.fix.command
    assert all(
        remedy in captured.fix.note for remedy in ("another port", "ServiceEntry", "excludeOutboundPorts: '3306'")
    )


def test_a_decision_that_breaks_a_pod_is_said_to_break_it():
    _, settle = found("strict-and-default-skip")

    assert settle.message.startswith("rule datastore-clients skips its sidecar, and pay/queue:5672 refuses")
    assert "nothing is wrong with the Service" in settle.fix.note


def test_hold_is_not_promised_to_help_an_init_container():
    first, _ = found("init-wait-for-db-strict", native=False, policy=NONE)

    assert "nativeSidecar" in first.fix.command
    assert first.fix.note.startswith("holdApplicationUntilProxyStarts does not help")


@pytest.mark.parametrize(("name", "protocol"), [("etcd-tls-client", "https"), ("https-to-http", "https")])
def test_a_port_of_tls_over_http_is_to_be_declared_https(name, protocol):
    assert all(f'"appProtocol":"{protocol}"' in one.fix.command for one in found(name))


def test_a_server_that_waits_for_tls_is_fixed_by_an_object_to_apply():
    (waits,) = found("mysql-permissive-plain-client")

    assert waits.fix.command is None
    assert waits.fix.patch["spec"] == {
        "selector": {"matchLabels": {"app": "mysql"}}, "portLevelMtls": {"3306": {"mode": "DISABLE"}}
    }  # fmt: skip
    assert any("NodePort" in said for said in waits.evidence)
    assert any("legacy" in said for said in waits.evidence)


def test_an_own_exclusion_is_named_as_what_leads_plaintext_to_a_strict_server():
    (refused,) = found("annot-strict")

    assert refused.message.startswith("its own annotations exclude")


def test_only_the_port_that_is_called_counts():
    text = (FIELD / "port-level-mtls.yaml").read_text().replace("amqp://broker.mq:5672", "http://broker.mq:15672")

    assert codes(diagnosed(text, namespace="")) == [("strict-refuses", "error", "feeder")]


def test_a_peer_port_is_added_to_the_headless_service():
    (unlisted,) = found("elastic-headless-without-transport")

    assert unlisted.subject.port == 9300
    assert '"port":9300' in unlisted.fix.command
