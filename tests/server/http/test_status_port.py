import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client.registry import Collector

from webhook.server.observe.readiness import Health, Readiness


def test_liveness_checks_nothing(server):
    assert server.get("/livez") == (200, "ok\n")


@pytest.mark.parametrize("path", ["/readyz", "/healthz"])
def test_readiness_is_short_when_all_is_well(server, path):
    assert server.get(path) == (200, "ok\n")


def test_readiness_lists_its_checks_on_request(server):
    status, text = server.get("/readyz?verbose")

    assert status == 200
    assert text == "[+]shutdown ok\n[+]policy ok\n[+]certificate ok\nreadyz check passed\n"


def test_readiness_is_json_for_who_accepts_it(server):
    status, text = server.get("/readyz", {"accept": "application/json"})

    assert status == 200
    assert json.loads(text)["ok"] is True
    assert [check["name"] for check in json.loads(text)["checks"]] == ["shutdown", "policy", "certificate"]


def test_one_failed_check_is_enough():
    readiness = Readiness({"a": lambda: Health(ok=True), "b": lambda: Health(ok=False, notice="broken")})
    report = readiness.report()

    assert not report.ok
    assert report.text() == "[+]shutdown ok\n[+]a ok\n[-]b failed: broken\nreadyz check failed\n"


def test_a_notice_is_shown_although_all_is_well():
    report = Readiness({"a": lambda: Health(ok=True, notice="an edit was rejected")}).report()

    assert report.ok
    assert "[+]a ok: an edit was rejected" in report.text()
    (check,) = [check for check in report.document()["checks"] if check["name"] == "a"]
    assert check["notice"] == check["remark"] == "an edit was rejected"


def test_leaving_is_not_ready():
    readiness = Readiness({})
    readiness.leave()

    assert not readiness.report().ok


def test_metrics_are_in_the_prometheus_format(server, kit):
    server.post(kit.make_review())
    status, text = server.get("/metrics")

    assert status == 200
    for line in (
        'sidecar_policy_decisions_total{action="skip",mode="enforce",reason="rule",rule="basket"}',
        'sidecar_policy_admission_requests_total{dry_run="false",outcome="patched",webhook="mutate"}',
        'sidecar_policy_admission_duration_seconds_count{webhook="mutate"}',
        "sidecar_policy_certificate_expiry_timestamp_seconds",
        "sidecar_policy_event_loop_lag_seconds_bucket",
        "process_resident_memory_bytes",
    ):
        assert line in text


def test_openmetrics_is_given_to_who_accepts_it(server):
    assert server.get("/metrics", {"accept": "application/openmetrics-text; version=1.0.0"})[1].endswith("# EOF\n")


def test_the_policy_is_shown(server):
    assert json.loads(server.get("/policy")[1]) == {"generation": "00000001"}


@pytest.mark.parametrize("path", ["/", "/mutate", "/docs", "/openapi.json", "/readyz/"])
def test_nothing_else_is_behind_the_plain_port(server, path):
    assert server.get(path)[0] == 404


def test_probes_are_answered_during_a_scrape(start_server):
    server = start_server()
    begun, answered = threading.Event(), threading.Event()

    class Patient(Collector):
        def collect(self):
            begun.set()
            assert answered.wait(5)
            return ()

    server.metrics.registry.register(Patient())
    with ThreadPoolExecutor() as pool:
        scrape = pool.submit(server.get, "/metrics")
        assert begun.wait(5)
        assert server.get("/livez") == (200, "ok\n")
        answered.set()

    assert scrape.result()[0] == 200


def test_probes_are_answered_while_readiness_waits_for_a_file(start_server):
    server = start_server()
    begun, answered = threading.Event(), threading.Event()

    def slow():
        begun.set()
        assert answered.wait(5)
        return Health(ok=True)

    server.service.readiness._checks["slow"] = slow
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(server.get, "/readyz")
        assert begun.wait(5)
        assert server.get("/livez") == (200, "ok\n")
        answered.set()

    assert waiting.result() == (200, "ok\n")


def test_a_hundred_scrapes_at_once_are_rendered_as_few(start_server, slow_metrics):
    server = start_server()
    rendered = slow_metrics(server)
    with ThreadPoolExecutor(100) as pool:
        statuses = {status for status, _ in pool.map(lambda _: server.get("/metrics"), range(100))}

    assert statuses == {200}
    assert len(rendered) < 20


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=x",
        "application/openmetrics-text; version=1.0.0.0.0.0.0.0.1",
        "application/openmetrics-text; version=2;escaping=nonsense",
        "text/plain;version=1.x",
        ",;=,;;",
        "application/openmetrics-text;version=",
    ],
)
def test_metrics_are_given_whatever_is_accepted(server, accept):
    assert server.get("/metrics", {"accept": accept})[0] == 200
