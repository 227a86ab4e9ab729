"""How a line of the log is written, as text or JSON: the one place where every line, tracebacks too, is redacted."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO, TypeAlias, cast

from app.observe.record import current
from app.observe.redaction import is_clean, redact

LogFormat: TypeAlias = Literal["auto", "text", "json"]
"""How lines look; `auto` is text for a person at a terminal, else JSON."""


class TextLines(logging.Formatter):
    """A line for people: when, how grave, who says it, what, and the fields of a request."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the traceback where there is one."""
        return redact(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name that logging calls
        """The message with its fields."""
        told = {**_fields_of(record), **_request_of()}
        return " ".join([super().formatMessage(record), *(f"{name}={_as_text(told[name])}" for name in told)])


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The object, with everything known of the request that the line belongs to."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_request_of(),
            **_fields_of(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        written = _json(line)
        return written if is_clean(written) else _json(_redacted(line))


class Lines(logging.StreamHandler[TextIO]):
    """Lines to standard error. One that cannot be written is told of without its text, which nobody has redacted."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Say whose line is lost, and why."""
        failure = sys.exc_info()[0]
        self.stream.write(f"a line of {record.name} is lost: {failure.__name__ if failure else 'unknown'}\n")


def log_config(wanted: LogFormat) -> dict[str, object]:
    """What `logging.config` makes of standard error, for this process and every worker."""
    is_text = wanted == "text" or (wanted == "auto" and sys.stderr.isatty())
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": f"{__name__}.{'TextLines' if is_text else 'JsonLines'}"}},
        "handlers": {"stderr": {"class": f"{__name__}.Lines", "formatter": "lines"}},
        "root": {"level": "INFO", "handlers": ["stderr"]},
        "loggers": {name: {"level": level} for name, level in LEVELS.items()},
    }


LEVELS: Mapping[str, str] = {
    "uvicorn.error": "INFO",
    "anthropic": "WARNING",  # at DEBUG the SDK prints whole bodies, pictures included
    "httpx2": "WARNING",  # at INFO the transport prints a line a call
    "alembic": "WARNING",  # at INFO it prints three lines at each start
    "opentelemetry": "ERROR",  # a collector that is away is its own alert, not a line a second
    "PIL": "CRITICAL",  # it complains of broken files, which are the client's to mend and are told so
}
"""The least grave line of each library that is worth a place in the log."""


def _request_of() -> dict[str, object]:
    request = current.get()
    if request is None:
        return {}
    told: dict[str, object] = {"request_id": request.request_id}
    if request.trace is not None:
        told["trace_id"] = request.trace.trace_id
    return told


def _fields_of(record: logging.LogRecord) -> Mapping[str, object]:
    return cast("Mapping[str, object]", getattr(record, "fields", {}))


def _as_text(value: object) -> str:
    """A value in a line for people: no spaces but in quotes, and no line breaks."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}:{part}" for name, part in cast("Mapping[str, object]", value).items())
    text = str(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


def _json(line: object) -> str:
    return _ENCODER.encode(line)


def _redacted(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: _redacted(part) for name, part in cast("dict[str, object]", value).items()}
    return value
