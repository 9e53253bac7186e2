"""One attempt of a task."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Iterator

from . import _message
from ._errors import BadEvent, DeadlineExceeded, LeaseLost

_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$")


@dataclass
class Task:
    """One attempt of a task. The README describes the fields."""

    id: str
    job_id: str
    labourer_id: str
    attempt: int
    deadline: datetime
    payload: dict[str, Any]
    completions_url: str
    sosw_task_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    result: Any = None  # for `with attempt(...)`: the result of the run

    _stats: dict[str, Any] = field(default_factory=dict, repr=False)
    _ends: float = field(default=0.0, repr=False)  # when the function has to end, in seconds of the run's clock
    _clock: Callable[[], float] = field(default=lambda: datetime.now(timezone.utc).timestamp(), repr=False)
    _beat: Callable[[], None] = field(default=lambda: None, repr=False)
    _lost: threading.Event = field(default_factory=threading.Event, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def stat(self, name: str, value: Any) -> None:
        """Records a figure of this run. It is archived with the task, also when the run fails."""
        with self._lock:
            self._stats[name] = value

    def remaining(self) -> float:
        """Returns the seconds until the function has to end. Heartbeats extend them."""
        if not self._ends:
            return max(self.deadline.timestamp() - self._clock(), 0.0)
        return max(self._ends - self._clock(), 0.0)

    def check(self) -> None:
        """Raises DeadlineExceeded if the time is over, and LeaseLost if the task is no longer this worker's."""
        if self._lost.is_set():
            raise LeaseLost("the task is no longer this worker's")
        if self.remaining() <= 0:
            raise DeadlineExceeded()

    def heartbeat(self) -> None:
        """Tells Drover that the worker still runs. It extends the lease by the labourer's max_duration."""
        self._beat()

    @contextlib.contextmanager
    def beating(self, every: float) -> Iterator[None]:
        """Sends heartbeats every so many seconds until the block ends. One that fails is followed by the next."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(every):
                with contextlib.suppress(Exception):
                    self._beat()

        thread = threading.Thread(target=beat, name=f"heartbeats of {self.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def headers(self) -> dict[str, str]:
        """Returns the trace context as headers for requests that belong to this attempt."""
        found = {"traceparent": self.traceparent, "tracestate": self.tracestate}
        return {name: value for name, value in found.items() if value}


def parse_task(event: Any) -> Task:
    """Reads the event of one task: a Lambda event, or the body of an SQS message, as text or as a dict. BadEvent: it is none."""
    if isinstance(event, (str, bytes, bytearray)):
        try:
            event = json.loads(event)
        except ValueError:
            raise BadEvent("event", "is not one JSON document") from None
    if not isinstance(event, dict):
        raise BadEvent("event", "is not a JSON object")
    drover = event.get("drover")
    if "drover" not in event:
        raise BadEvent("drover", "is missing; Drover did not send this event")
    if not isinstance(drover, dict):
        raise BadEvent("drover", "is not a JSON object")
    version = drover.get("version")
    if type(version) is not int or version != _message.VERSION:
        raise BadEvent("drover.version", f"is {version!r}; this worker knows version {_message.VERSION}")
    task_id = _text(drover, "task_id", required=True)
    if "task_id" in event and event["task_id"] != task_id:
        if not isinstance(event["task_id"], str):
            raise BadEvent("task_id", "is not a string")
        raise BadEvent("task_id", f"is {event['task_id']!r}, but drover.task_id is {task_id!r}; want the same id")
    attempt = drover.get("attempt")
    if type(attempt) is not int or attempt < 1:
        raise BadEvent("drover.attempt", f"is {attempt!r}; attempts count from 1")
    url = _text(drover, "completions_url", required=True)
    traceparent = drover.get("traceparent")
    traced = isinstance(traceparent, str) and _TRACEPARENT.match(traceparent) is not None
    tracestate = drover.get("tracestate")
    return Task(
        id=task_id, job_id=_text(drover, "job_id"), labourer_id=_text(drover, "labourer_id"), attempt=attempt, deadline=_moment(drover.get("deadline")),
        payload={name: value for name, value in event.items() if name not in ("drover", "task_id")}, completions_url=url,
        sosw_task_id=_text(drover, "sosw_task_id"), traceparent=str(traceparent) if traced else "",
        tracestate=tracestate if traced and isinstance(tracestate, str) else "")


def _text(drover: dict[str, Any], name: str, required: bool = False) -> str:
    value = drover.get(name, "")
    if not isinstance(value, str):
        raise BadEvent(f"drover.{name}", "is not a string")
    if required and not value:
        raise BadEvent(f"drover.{name}", "is missing")
    return value


_MOMENT = re.compile(r"^(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$")


def _moment(text: Any) -> datetime:
    match = _MOMENT.match(text) if isinstance(text, str) else None
    try:
        if match:
            zone = "+00:00" if match[3] in "Zz" else match[3]
            return datetime.fromisoformat(f"{match[1].upper()}{(match[2] or '.0')[:7].ljust(7, '0')}{zone}")
    except ValueError:
        pass
    raise BadEvent("drover.deadline", f"is {text!r}; want a time such as 2026-11-22T08:00:00Z")
