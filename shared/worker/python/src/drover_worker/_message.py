"""The messages of a worker: completions and heartbeats."""

from __future__ import annotations

import json
import re
from typing import Any, Mapping

from ._errors import Failure, Permanent, RetryAfter, described

VERSION = 1
MOST_RESULT = 256 << 10  # bytes of JSON: result, stats and payload share an item of 400 KB
MOST_STATS = 16 << 10

# SQS refuses these characters, and halves of surrogate pairs. JSON escapes all control characters.
_REFUSED = re.compile("[\ufffe\uffff\ud800-\udfff]")


def encode(value: Any) -> str:
    """Returns JSON in characters that every transport accepts. ValueError or TypeError: the value is no JSON."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _REFUSED.sub(lambda m: f"\\u{ord(m.group()):04x}", text)


def _size(text: str) -> int:
    return len(text.encode())


def message(task_id: str, attempt: int, status: str, **rest: Any) -> str:
    return encode({"version": VERSION, "task_id": task_id, "attempt": attempt, "status": status, **rest})


def completed(task_id: str, attempt: int, result: Any, stats: Mapping[str, Any]) -> str:
    """Returns the message of a success. Permanent: the result cannot be sent at all."""
    rest: dict[str, Any] = {}
    for name, value, most in (("result", result, MOST_RESULT), ("stats", dict(stats) or None, MOST_STATS)):
        if value is None:
            continue
        try:
            size = _size(encode(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise Permanent(f"{name} cannot be encoded as JSON: {error}", type="BadResult") from error
        if size > most:
            raise Permanent(f"{name} of {size} bytes is over the limit of {most}: store it, in S3 for instance, and return its key", type="ResultTooLarge")
        rest[name] = value
    return message(task_id, attempt, "completed", **rest)


def failed(task_id: str, attempt: int, error: BaseException, stats: Mapping[str, Any]) -> str:
    """Returns the message of a failure. It omits stats that cannot be sent, because they must not hide why the run failed."""
    retryable = error.retryable if isinstance(error, Failure) else True
    rest: dict[str, Any] = {"error": described(error), "retryable": retryable}
    if isinstance(error, RetryAfter):
        rest["retry_after"] = f"{error.seconds:.9f}".rstrip("0").rstrip(".") + "s"
    if stats:
        try:
            if _size(encode(dict(stats))) <= MOST_STATS:
                rest["stats"] = dict(stats)
        except (TypeError, ValueError, RecursionError):
            pass
    return message(task_id, attempt, "failed", **rest)
