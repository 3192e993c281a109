"""Logs: events with fields, one line each, on standard error.

    log = logs.get_logger(__name__)
    log.info("range_taken", tenant="acme", revision=17)

On the standard library's `logging`, so that what libraries say comes out in the same form. Where nobody called
`configure`, as in a program that imports the client, its logging decides what becomes of them.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

import msgspec

_FIELDS = "arktos_fields"
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Logger:
    """Events of one module. `event` is a name that one can search for; what varies is in the fields."""

    __slots__ = ("_bound", "_logger")

    def __init__(self, logger: logging.Logger, bound: dict[str, object] | None = None) -> None:
        self._logger = logger
        self._bound = bound or {}

    def bind(self, **fields: object) -> Logger:
        """The same logger, with fields that all its events have."""
        return Logger(self._logger, {**self._bound, **fields})

    def debug(self, event: str, **fields: object) -> None:
        self._say(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._say(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._say(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._say(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: object) -> None:
        """An error with the traceback of the exception that is being handled."""
        self._say(logging.ERROR, event, fields, traceback=True)

    def _say(self, level: int, event: str, fields: dict[str, object], traceback: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, extra={_FIELDS: {**self._bound, **fields}}, exc_info=traceback)


def get_logger(name: str) -> Logger:
    """The logger of a module, by the module's name."""
    return Logger(logging.getLogger(name))


def configure(component: str, stream: TextIO | None = None) -> None:
    """Sends this process's logs to `stream` (standard error): JSON lines where nobody watches, text on a terminal.
    Every line says which component speaks. A log that cannot be written, as on a full disk, is lost without a word."""
    output = stream or sys.stderr
    handler = logging.StreamHandler(output)
    handler.setFormatter(TextLines(component) if output.isatty() else JsonLines(component))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.raiseExceptions = False


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, component, event, then the event's own fields."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "component": self._component,
            "event": record.getMessage(),
        }
        for name, value in getattr(record, _FIELDS, {}).items():
            line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class TextLines(logging.Formatter):
    """For people: time, level, component, event, name=value."""

    def __init__(self, component: str) -> None:
        super().__init__()
        self._component = component

    def format(self, record: logging.LogRecord) -> str:
        fields = [f" {name}={value}" for name, value in getattr(record, _FIELDS, {}).items()]
        head = f"{_time(record)} {record.levelname.lower():<8}{self._component:<12}{record.getMessage()}"
        trace = "\n" + self.formatException(record.exc_info) if record.exc_info else ""
        return head + "".join(fields) + trace


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
