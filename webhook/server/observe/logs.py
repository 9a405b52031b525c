"""Log lines: one JSON object each, or for people at a terminal, and never a value of a request.

An exception is logged as its class and the places it passed. Its text is left out, because it may quote what was
being read.
"""

from __future__ import annotations

import logging
from types import FrameType
from typing import Any, Protocol, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger

from webhook.problem import printable
from webhook.server.settings import LogFormat, LogLevel

_PLACES = 8
# structlog's methods by which lines are written.
_SEVERITY = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Threshold:
    """From which severity on lines are written. It may change while the process runs.

    Attributes:
        level: The level just now.
    """

    def __init__(self, level: LogLevel) -> None:
        self.level = level
        self._configured = level

    def toggle(self) -> LogLevel:
        """Go to debug, or back to what was configured; where that is debug, between debug and info."""
        usual = LogLevel.INFO if self._configured is LogLevel.DEBUG else self._configured
        self.level = usual if self.level is LogLevel.DEBUG else LogLevel.DEBUG
        return self.level

    def __call__(self, _: Any, method: str, fields: EventDict) -> EventDict:  # noqa: ANN401 - as structlog has it
        """Drop a line that is below the level."""
        if _SEVERITY[method] < _SEVERITY[self.level]:
            raise structlog.DropEvent
        return fields


class Writable(Protocol):
    """As much of a text stream as a log needs."""

    def write(self, text: str, /) -> int:
        """Write a text."""
        ...

    def flush(self) -> None:
        """See to it that it is written."""
        ...

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        ...


def make_logger(
    stream: Writable, log_format: LogFormat, level: LogLevel | Threshold = LogLevel.INFO
) -> FilteringBoundLogger:
    """A logger that writes to `stream` and to nothing else.

    Args:
        stream: Where lines go; each is flushed.
        log_format: How they look.
        level: From which severity on; a Threshold where that may change.

    Returns:
        A logger whose methods take an event's name and its fields.
    """
    lowest = LogLevel.DEBUG if isinstance(level, Threshold) else level
    renderers: list[Any] = [structlog.processors.JSONRenderer(serializer=_json)]
    if log_format is LogFormat.CONSOLE:
        renderers = [_safe_for_terminals, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    # Bound, for what wrap_logger gives looks for its own configuration at each line.
    logger: FilteringBoundLogger = structlog.wrap_logger(
        structlog.WriteLogger(cast("TextIO", stream)),
        processors=[
            *([level] if isinstance(level, Threshold) else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(lowest.value),
    ).bind()
    return logger


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as fields of a log line: its class and where it came through, innermost last, but not its text."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(_place(trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return {"error": type(error).__qualname__, "at": places[-_PLACES:]}


def capture_standard_logging(logger: FilteringBoundLogger) -> None:
    """Send what libraries have to say, from warnings on and from uvicorn errors only, through `logger`.

    This changes the process's logging configuration, so only the process's entry point calls it.
    """
    for name in ("uvicorn.error", "asyncio", "watchfiles", "opentelemetry"):
        standard = logging.getLogger(name)
        standard.handlers = [_Forward(logger)]
        # uvicorn warns of each request that is none, which anybody can send as often as they like.
        standard.setLevel(logging.ERROR if name == "uvicorn.error" else logging.WARNING)
        standard.propagate = False


class _Forward(logging.Handler):
    """Passes a standard log record on: its message without the arguments, for those may quote a request."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        message = str(record.msg).strip().partition("\n")[0]
        error = record.exc_info[1] if record.exc_info else None
        described = {} if error is None else describe(error)
        method = self._logger.error if record.levelno >= logging.ERROR else self._logger.warning
        method("library", library=record.name, message=message, **described)


def _place(frame: FrameType, line: int) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{line}"


def _safe_for_terminals(_logger: object, _method: str, fields: EventDict) -> EventDict:
    """Take control characters out of texts, such as the name in a review that is not the API server's."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _json(fields: dict[str, Any], **_: Any) -> str:  # noqa: ANN401 - structlog passes what json.dumps would take
    first = {name: fields[name] for name in ("timestamp", "level", "event")}
    return msgspec.json.encode(first | fields).decode()
