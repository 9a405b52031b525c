"""Structured logging: one JSON object per line, or human-readable for a terminal, and never a value of a request.

An exception is logged as its class and traceback locations, without its text, which may quote the input.
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
# structlog's logging methods, by severity.
_SEVERITY = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


class Threshold:
    """The log level, as a structlog processor; it may change while the process runs.

    Attributes:
        level: The current level.
    """

    def __init__(self, level: LogLevel) -> None:
        self.level = level
        self._configured = level

    def toggle(self) -> LogLevel:
        """Toggle between debug and the configured level (info, if that is debug); return the new level."""
        usual = LogLevel.INFO if self._configured is LogLevel.DEBUG else self._configured
        self.level = usual if self.level is LogLevel.DEBUG else LogLevel.DEBUG
        return self.level

    def __call__(self, _: Any, method: str, fields: EventDict) -> EventDict:  # noqa: ANN401 - as structlog has it
        """Drop a line below the level."""
        if _SEVERITY[method] < _SEVERITY[self.level]:
            raise structlog.DropEvent
        return fields


class Writable(Protocol):
    """The methods of a text stream that a logger requires."""

    def write(self, text: str, /) -> int:
        """Write a text."""
        ...

    def flush(self) -> None:
        """Flush the stream."""
        ...

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        ...


def make_logger(
    stream: Writable, log_format: LogFormat, level: LogLevel | Threshold = LogLevel.INFO
) -> FilteringBoundLogger:
    """Create a logger that writes to `stream` only.

    Args:
        stream: The stream, which is flushed after each line.
        log_format: The format of the lines.
        level: The minimum severity; a Threshold if it may change.

    Returns:
        A logger whose methods take an event's name and its fields.

    Example:
        log = make_logger(sys.stderr, LogFormat.JSON)
        log.info("listening", port=8443)
    """
    lowest = LogLevel.DEBUG if isinstance(level, Threshold) else level
    renderers: list[Any] = [structlog.processors.JSONRenderer(serializer=_json)]
    if log_format is LogFormat.CONSOLE:
        renderers = [_safe_for_terminals, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    # Bound, since an unbound logger from wrap_logger looks up its configuration for each line.
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
    """Return an exception as fields of a log line: its class and traceback locations, innermost last, but no text."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        places.append(_place(trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return {"error": type(error).__qualname__, "at": places[-_PLACES:]}


def capture_standard_logging(logger: FilteringBoundLogger) -> None:
    """Route the standard logging of libraries to `logger`: warnings and errors, from uvicorn errors only.

    This changes the process's logging configuration, so only the process's entry point calls it.
    """
    for name in ("uvicorn.error", "asyncio", "watchfiles", "opentelemetry"):
        standard = logging.getLogger(name)
        standard.handlers = [_Forward(logger)]
        # uvicorn logs a warning for each invalid request, which any client can send at any rate.
        standard.setLevel(logging.ERROR if name == "uvicorn.error" else logging.WARNING)
        standard.propagate = False


class _Forward(logging.Handler):
    """Forwards a standard log record: its message without the arguments, which may quote a request."""

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
    """Remove control characters from strings, such as the name in a review that is not from the API server."""
    return {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _json(fields: dict[str, Any], **_: Any) -> str:  # noqa: ANN401 - structlog passes what json.dumps would take
    first = {name: fields[name] for name in ("timestamp", "level", "event")}
    return msgspec.json.encode(first | fields).decode()
