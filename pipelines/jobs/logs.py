"""Logs of a job: JSON lines in the output folder, one per call of a stage and other event."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from videollm.errors import VideollmError

LOGGERS: Final = ("pipelines", "videollm", "connectors")
LEVELS: Final = ("debug", "info", "warning", "error")
FILE: Final = "job.jsonl"


@contextmanager
def logging_to(folder: Path, level: str) -> Iterator[Path]:
    """Write our packages' logs to a file in a folder, for as long as the context lasts.

    A bug that ends the context is logged with its trace, and gets the path as `trace_file`.

    Args:
        level: one of LEVELS, the lowest that is written.
    """
    folder.mkdir(exist_ok=True)
    handler = logging.FileHandler(folder / FILE, encoding="utf-8", delay=True)
    handler.setFormatter(_JsonLines())
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level.upper())
    try:
        yield folder / FILE
    except Exception as error:
        if not isinstance(error, VideollmError):
            loggers[0].exception("a bug ended the job")
            error.trace_file = folder / FILE  # type: ignore[attr-defined]
        raise
    finally:
        for logger, old in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(old)
        handler.close()


class _JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, logger, message, `extra={"fields": ...}`, and a trace."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str)
