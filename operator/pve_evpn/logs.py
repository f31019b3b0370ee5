"""How the process logs: one line per record, for people or for machines, with the fields known where it is written.

The standard library's loggers are used everywhere; structlog formats what they emit. ``cluster``, ``object``,
``node`` and ``transaction`` become fields: by :func:`fields` for everything below a block, by ``extra`` for one record.
Times are UTC. A traceback is part of its line, innermost frame first.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import MutableMapping
from typing import Any, Literal

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

from pve_evpn.text import one_line

Record = MutableMapping[str, Any]
#: They log each event, each request with its parameters, or each channel of a poll.
_CHATTY = ("asyncssh", "kopf", "kubernetes", "proxmoxer", "urllib3")
_FRAMES = 8

#: ``with fields(cluster="dc1"):`` adds fields to every record of the block, and of the tasks that it starts.
fields = bound_contextvars


def configure(level: str, form: Literal["text", "json"]) -> None:
    """Log to stderr from ``level`` on. Called once, before anything is logged."""
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer() if form == "json" else _as_text
    shared: list[structlog.typing.Processor] = [
        merge_contextvars,
        ExtraAdder(),
        add_log_level,
        add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _one_line,
    ]
    handler = logging.StreamHandler()
    handler.setFormatter(
        ProcessorFormatter(processors=[ProcessorFormatter.remove_processors_meta, renderer], foreign_pre_chain=shared)
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _one_line(_logger: Any, _method: str, record: Record) -> Record:
    """The exception as the field ``error``, and no line break anywhere."""
    error = record.pop("exc_info", None)
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        frames = reversed(traceback.extract_tb(error.__traceback__)[-_FRAMES:])
        where = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
        record["error"] = f"{type(error).__name__}: {error}" + (f" (at {where})" if where else "")
    for key, value in record.items():
        if isinstance(value, str):
            record[key] = one_line(value)
    return record


def _as_text(_logger: Any, _method: str, record: Record) -> str:
    """``2026-11-28T08:00:00.000000Z INFO engine.apply: message cluster=dc1``."""
    moment, level = record.pop("timestamp", ""), str(record.pop("level", "")).upper()
    name = str(record.pop("logger", "")).removeprefix("pve_evpn.")
    message = record.pop("event", "")
    more = "".join(f" {key}={_quoted(value)}" for key, value in sorted(record.items()))
    return f"{moment} {level} {name}: {message}{more}"


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
