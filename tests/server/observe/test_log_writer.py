"""Log lines leave the process without anybody waiting for who reads them."""

from __future__ import annotations

import os
import threading

import pytest

from webhook.server.observe.log_writer import AsyncLogWriter

LINE = "a line of the usual length, as each decision has one" * 6 + "\n"


@pytest.fixture
def pipe():
    """The end to read from, and the stream to write to."""
    reading, writing = os.pipe()
    with os.fdopen(reading, encoding="utf-8") as reader, os.fdopen(writing, "w", encoding="utf-8") as writer:
        yield reader, writer


def _within_seconds(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive()


def test_lines_are_written_in_order_and_none_is_left_at_the_end(pipe):
    reader, writer = pipe
    log_writer = AsyncLogWriter(writer)

    for number in range(100):
        log_writer.write(f"{number}\n")
    log_writer.close()

    assert [int(reader.readline()) for _ in range(100)] == list(range(100))
    assert log_writer.lost == 0


def test_who_writes_never_waits_and_what_is_too_much_is_lost_and_counted(pipe):
    reader, writer = pipe
    log_writer = AsyncLogWriter(writer)
    written = 3 * AsyncLogWriter.MOST_LINES

    assert _within_seconds(lambda: [log_writer.write(LINE) for _ in range(written)])
    assert log_writer.lost > 0

    left = written - log_writer.lost
    assert [reader.readline() for _ in range(left)] == [LINE] * left
    log_writer.close()


def test_the_end_does_not_wait_for_a_reader_that_hangs(pipe, monkeypatch):
    monkeypatch.setattr(AsyncLogWriter, "LAST", 0.1)
    _, writer = pipe
    log_writer = AsyncLogWriter(writer)
    log_writer.write(LINE * 1000)

    assert _within_seconds(log_writer.close)


def test_lines_for_a_reader_that_is_gone_are_lost_and_counted(pipe):
    reader, writer = pipe
    log_writer = AsyncLogWriter(writer)
    reader.close()

    log_writer.write(LINE)
    log_writer.close()

    assert log_writer.lost == 1
