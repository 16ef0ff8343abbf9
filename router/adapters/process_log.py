"""Set up what the process itself says, apart from calls: start, stop, reload, trouble. To standard error."""

import logging
import sys
from typing import Final, Literal

import msgspec

from router.domain.instants import NS_PER_MS

_LIBRARIES: Final = ("uvicorn.error", "uvicorn.access", "asyncio", "aiosqlite")


class _Line(msgspec.Struct, kw_only=True):
    ts_ms: int
    level: str
    event: str
    logger: str
    error: str | None = None


class JsonFormatter(logging.Formatter):
    """One JSON object a record. Of an exception it keeps the type and the place, never the message: it may quote."""

    def format(self, record: logging.LogRecord) -> str:
        line = _Line(
            ts_ms=int(record.created * 1_000_000_000) // NS_PER_MS,
            level=record.levelname.lower(),
            event=record.getMessage(),
            logger=record.name,
            error=_where(record),
        )
        return msgspec.json.encode(line).decode()


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        where = _where(record)
        return f"{record.levelname.lower()}: {record.getMessage()}" + (f" ({where})" if where else "")


def set_up_process_log(*, level: str, style: Literal["json", "text"]) -> None:
    """Send `router`'s records, and warnings of the libraries under it, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("router").setLevel(level.upper())
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)


def _where(record: logging.LogRecord) -> str | None:
    if record.exc_info is None or record.exc_info[0] is None:
        return None
    kind, _, trace = record.exc_info
    frames = []
    while trace is not None:
        code = trace.tb_frame.f_code
        frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}:{code.co_name}")
        trace = trace.tb_next
    return f"{kind.__name__} at {' > '.join(frames[-8:])}"
