import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1] / "examples" / "demo.py"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    picture = tmp_path_factory.mktemp("demo") / "demo.svg"
    ended = subprocess.run(
        [sys.executable, DEMO, "--svg", picture], capture_output=True, text=True, timeout=60, check=False
    )
    return ended, picture


def test_the_demo_finds_every_answer_as_expected(shown):
    ended, _ = shown

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "21 pods: 10 skip, 11 inherit; every answer as expected" in ended.stdout


def test_the_demo_shows_a_decision_that_a_policy_edit_changes(shown):
    ended, _ = shown

    assert "basket-api after:  bypass  annotation excludeOutboundPorts=5672,6379" in ended.stdout


def test_the_demo_shows_no_value_of_a_connection_string(shown):
    ended, _ = shown

    assert "Not-a-Secret" not in ended.stdout


def test_the_picture_loads_nothing_from_elsewhere(shown):
    _, picture = shown

    svg = picture.read_text()
    assert "<svg" in svg
    assert "url(http" not in svg
    assert "@font-face" not in svg
    assert "basket-api" in svg


def test_an_unexpected_answer_makes_the_demo_fail_and_say_which(tmp_path):
    for part in (*DEMO.parent.glob("demo*.py"), *DEMO.parent.glob("eshop/*.yaml")):
        copy = tmp_path / part.relative_to(DEMO.parent)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(part.read_text())
    payment = tmp_path / "eshop" / "payment.yaml"
    payment.write_text(payment.read_text().replace("all__EventBusConnection: rabbitmq", "all__EventBusConnection: ''"))

    ended = subprocess.run(
        [sys.executable, tmp_path / "demo.py"], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == 1
    assert ended.stderr == "not as expected: payment-api: the decision is inherit, expected skip\n"


def test_ctrl_c_leaves_no_process_behind():
    demo = subprocess.Popen([sys.executable, DEMO], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    server = _server_of(demo.pid)

    demo.send_signal(signal.SIGINT)

    _, errors = demo.communicate(timeout=30)
    assert (demo.returncode, errors) == (130, b"")
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


def _server_of(pid):
    """The process that the demo started: the server."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            return int(children[0])
        time.sleep(0.01)
    raise AssertionError("the demo never started the server")
