import io
import json
import logging

import pytest

from webhook.server.observe.logs import Threshold, capture_standard_logging, describe, make_logger
from webhook.server.settings import LogFormat, LogLevel


def test_a_line_is_one_json_object_that_says_first_when_and_what():
    stream = io.StringIO()
    make_logger(stream, LogFormat.JSON).info("decision", name="a\nb", action="skip")
    line = stream.getvalue()

    assert line.count("\n") == 1
    assert list(json.loads(line)) == ["timestamp", "level", "event", "name", "action"]


def test_lines_below_the_level_are_not_written():
    stream = io.StringIO()
    log = make_logger(stream, LogFormat.JSON, LogLevel.WARNING)
    log.info("quiet")
    log.warning("loud")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize(
    ("configured", "levels"),
    [("info", ["debug", "info", "debug"]), ("error", ["debug", "error"]), ("debug", ["info", "debug"])],
)
def test_the_level_changes_to_debug_and_back_while_the_process_runs(configured, levels):
    threshold = Threshold(LogLevel(configured))

    assert [threshold.toggle().value for _ in levels] == levels


def test_a_logger_follows_its_threshold():
    stream = io.StringIO()
    threshold = Threshold(LogLevel.WARNING)
    log = make_logger(stream, LogFormat.JSON, threshold).bind(part="a")
    log.info("quiet")
    log.warning("loud")
    threshold.toggle()
    log.debug("detail")
    threshold.toggle()
    log.debug("quiet again")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["loud", "detail"]


def test_the_console_format_is_for_people():
    stream = io.StringIO()
    make_logger(stream, LogFormat.CONSOLE).info("listening", port=8443)

    assert "port=8443" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_no_text_acts_on_the_terminal_that_shows_it():
    stream = io.StringIO()
    make_logger(stream, LogFormat.CONSOLE).info("decision", name="x\x1b]0;owned\x07\x1b[2J\u202e\u2028y")

    assert [text for text in ("\x1b", "\x07", "\u202e", "\u2028") if text in stream.getvalue()] == []


def test_an_exception_is_described_by_class_and_place_but_not_by_its_text():
    def inner():
        raise ValueError("CANARY")

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text must not matter
        inner()
    described = describe(caught.value)

    assert described["error"] == "ValueError"
    assert "inner:" in described["at"][-1]
    assert "CANARY" not in str(described)


@pytest.fixture
def captured():
    names = ("uvicorn.error", "asyncio", "watchfiles", "opentelemetry")
    loggers = [logging.getLogger(name) for name in names]
    before = [(logger.handlers, logger.level, logger.propagate) for logger in loggers]
    stream = io.StringIO()
    capture_standard_logging(make_logger(stream, LogFormat.JSON))
    yield stream
    for logger, (handlers, level, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def test_what_libraries_say_is_passed_on_without_what_they_quote(captured):
    try:
        _ = dict[str, str]()["CANARY"]
    except KeyError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    logging.getLogger("asyncio").warning("slow: %s", "CANARY")
    logging.getLogger("uvicorn.error").info("Started server process")

    lines = [json.loads(line) for line in captured.getvalue().splitlines()]

    assert [(line["level"], line["message"]) for line in lines] == [
        ("error", "Exception in ASGI application"),
        ("warning", "slow: %s"),
    ]
    assert lines[0]["error"] == "KeyError"
    assert "CANARY" not in captured.getvalue()


def test_a_name_of_any_length_makes_no_long_line(start_server, kit):
    server = start_server()
    pod = kit.make_pod("basket") | {"metadata": {"name": "n" * 1_000_000}}
    assert server.post(kit.make_review(pod)).status == 200
    kit.wait_until(lambda: server.log("decision"))

    assert max(map(len, server.lines.getvalue().splitlines())) < 2000
