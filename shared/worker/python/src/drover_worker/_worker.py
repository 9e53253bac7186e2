"""Runs a function for tasks, and reports how each run ended."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import random
import re
import threading
import time
from datetime import datetime, timezone
from typing import Any, Callable, Iterator, overload

from . import _message
from ._errors import BadEvent, CompletionError, DeadlineExceeded, Permanent, code_of, kind_of
from ._task import Task, parse_task

Function = Callable[[Task], Any]

_log = logging.getLogger("drover_worker")

_MARGIN = 2.0  # seconds that a run keeps for its report, but at most a tenth of it
_SEND_TRIES = 7
_SEND_TIME = 45.0
_REGION = re.compile(r"^https?://(?:sqs(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?|sqs\.([a-z0-9-]+)\.api\.aws)(?::\d+)?/")
_THROTTLES = {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled", "RequestThrottledException", "TooManyRequestsException",
              "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete"}


@functools.lru_cache(maxsize=8)
def _client(region: str | None) -> Any:
    import boto3  # type: ignore[import-untyped]  # imported here, because tests do not need it, and Lambda has it

    return boto3.client("sqs", region_name=region)


def sqs_for(url: str) -> Any:
    """Returns a client for the region of a queue, which may be another than the worker's."""
    match = _REGION.match(url)
    return _client((match[1] or match[2]) if match else None)


def final(error: BaseException) -> bool:
    """Reports whether the same call would fail again: no such queue, no permission."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or code_of(error) in _THROTTLES:
        return False
    status = (response.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
    return 400 <= status < 500 and status not in (408, 429)


def of_contents(error: BaseException) -> bool:
    """Reports whether the queue refused a message for its characters or its size."""
    return code_of(error).rsplit(".", 1)[-1] in {"InvalidMessageContents", "InvalidParameterValue", "InvalidParameterValueException",
                                                 "RequestEntityTooLarge", "RequestEntityTooLargeException"}


def backoff(tries: int) -> float:
    """Returns the wait after a failed try: it doubles up to 10 s, and its upper half is random."""
    whole: float = min(0.2 * 2.0 ** min(tries - 1, 16), 10.0)
    return whole / 2 + random.random() * whole / 2


class Worker:
    """A function that runs tasks: the handler of a Lambda function, and a poller of a queue."""

    def __init__(self, function: Function, *, heartbeat: float | None = None, timeout: float | None = None,
                 clock: Callable[[], float] = time.time, sqs: Callable[[str], Any] = sqs_for) -> None:
        """heartbeat sends one every so many seconds; timeout limits each run, in seconds. clock and sqs are for tests."""
        self.function, self.every, self.timeout, self.clock, self.sqs = function, heartbeat, timeout, clock, sqs
        functools.update_wrapper(self, function)

    def __call__(self, event: Any, context: Any = None) -> Any:
        """Runs the task of an event, or the tasks of a batch of SQS. It answers with the completion that it sent, or with those to redeliver."""
        if _is_batch(event):
            return self._batch(event["Records"], context)
        task = parse_task(event)
        text, _ = self._perform(task, context)
        return json.loads(text)

    def poll(self, queue_url: str, *, concurrency: int = 1, visibility: float = 60, drain: float = 25,
             stop: threading.Event | None = None) -> None:
        """Runs the tasks that arrive in a queue, at most concurrency at a time, until stop is set or, without one, until SIGTERM or SIGINT.

        It then lets running tasks go on for drain seconds, and returns the messages of those that do not end to the queue. While a task runs, its
        message stays hidden, for visibility seconds at a time, and heartbeats extend its lease. An error of SQS that does not pass is raised.
        """
        from ._poll import poll

        poll(self, queue_url, concurrency, visibility, drain, stop)

    def _batch(self, records: list[dict[str, Any]], context: Any) -> dict[str, Any]:
        again: list[dict[str, str]] = []
        blocked = False
        for record in records:
            if blocked or not self._record(record, context):
                again.append({"itemIdentifier": record["messageId"]})
                # In a FIFO queue, the messages behind a redelivered one must be redelivered too.
                blocked = str(record.get("eventSourceARN", "")).endswith(".fifo")
        return {"batchItemFailures": again}

    def _record(self, record: dict[str, Any], context: Any) -> bool:
        if context is not None and context.get_remaining_time_in_millis() <= 0:
            return False
        try:
            task = parse_task(record.get("body"))
            self._perform(task, context, sent_at((record.get("attributes") or {}).get("SentTimestamp")))
        except (BadEvent, CompletionError) as error:
            _log.error("message %s is redelivered: %s", record.get("messageId"), type(error).__name__)
            return False
        return True

    def _perform(self, task: Task, context: Any = None, sent: float | None = None) -> tuple[str, BaseException | None]:
        """Runs a task and reports its end. CompletionError: it could not."""
        self._received(task, sent)
        self._start(task, context, sent)
        text, error = self.run(task, self.function)
        self.report(task, text, error)
        return text, error

    def _received(self, task: Task, sent: float | None) -> None:
        """Asks for a task's whole time again if its message waited for more than half of it."""
        now, deadline = self.clock(), task.deadline.timestamp()
        if sent is None or now - sent < deadline - now or deadline <= sent:
            return
        try:
            self.send(task, _message.message(task.id, task.attempt, "running"))
        except Exception as error:  # it keeps its old deadline
            _log.warning("heartbeat of task %s failed: %s", task.id, type(error).__name__)
            return
        task.deadline = datetime.fromtimestamp(now + deadline - sent, timezone.utc)

    def _start(self, task: Task, context: Any, sent: float | None) -> None:
        """Starts the clock of a run."""
        now = self.clock()
        length = task.deadline.timestamp() - now
        if sent is not None:
            length = max(length, task.deadline.timestamp() - sent)
        latest = float("inf")
        if context is not None:
            latest = now + context.get_remaining_time_in_millis() / 1000
        if self.timeout:
            latest = min(latest, now + self.timeout)
        left = min(task.deadline.timestamp(), latest) - now
        margin = max(min(_MARGIN, left / 10), 0.0)
        task._clock = self.clock
        task._ends = min(task.deadline.timestamp(), latest) - margin

        def beat() -> None:
            began = self.clock()
            self.send(task, _message.message(task.id, task.attempt, "running"))
            task._ends = max(task._ends, min(began + length, latest) - margin)

        task._beat = beat

    def run(self, task: Task, function: Function) -> tuple[str, BaseException | None]:
        """Calls the function, and returns the completion and what the function raised. It sends nothing but heartbeats."""
        late = self.clock() - task.deadline.timestamp()
        if late >= 0:
            error: BaseException = DeadlineExceeded(f"deadline {task.deadline.isoformat()} had passed by {late:.3f}s when the worker received the task")
            return _message.failed(task.id, task.attempt, error, {}), error
        result: Any = None
        raised: BaseException | None = None
        try:
            with task.beating(self.every) if self.every else contextlib.nullcontext():
                result = function(task)
        except Exception as error_of_function:
            raised = error_of_function
        return _end(task, result, raised)

    def report(self, task: Task, text: str, error: BaseException | None) -> None:
        """Sends a completion. If the queue refuses its contents, a failure that says so is sent, and the attempt still ends."""
        try:
            try:
                self._send_until(task, text)
            except Exception as refusal:
                if not of_contents(refusal):
                    raise
                if error is None:
                    error = Permanent(f"completions queue refused a completion of {len(text.encode())} bytes: {refusal}", type="ResultTooLarge")
                self._send_until(task, _message.failed(task.id, task.attempt, error, {}))
        except Exception as unsent:
            raise CompletionError(f"attempt {task.attempt} of task {task.id} ended, but its completion could not be sent: {unsent}") from unsent
        # An error's message may quote the payload, so only drover task shows it.
        _log.info("task %s, attempt %d: %s", task.id, task.attempt, kind_of(error) if error else "completed")

    def send(self, task: Task, text: str) -> None:
        self.sqs(task.completions_url).send_message(QueueUrl=task.completions_url, MessageBody=text)

    def _send_until(self, task: Task, text: str) -> None:
        began = time.monotonic()
        for tries in range(1, _SEND_TRIES + 1):
            try:
                return self.send(task, text)
            except Exception as error:
                if final(error) or tries == _SEND_TRIES or time.monotonic() - began > _SEND_TIME:
                    raise
                time.sleep(backoff(tries))


@overload
def worker(function: Function) -> Worker: ...
@overload
def worker(*, heartbeat: float | None = None, timeout: float | None = None) -> Callable[[Function], Worker]: ...
def worker(function: Function | None = None, **options: Any) -> Any:
    """Makes a worker of a function: @worker, or @worker(heartbeat=20, timeout=600)."""
    if function is None:
        return functools.partial(Worker, **options)
    return Worker(function)


@contextlib.contextmanager
def attempt(event: Any, context: Any = None, **options: Any) -> Iterator[Task]:
    """Runs a block as the attempt of an event's task, and reports its end. The block sets task.result. An exception of the block is reported and
    not raised. It is not for batches of SQS, nor for a task whose time is over: that is reported, and raised as DeadlineExceeded."""
    run = Worker(lambda _: None, **options)
    task = parse_task(event)
    run._start(task, context, None)
    if run.clock() >= task.deadline.timestamp():
        run.report(task, *run.run(task, run.function))
        raise DeadlineExceeded()
    raised: BaseException | None = None
    try:
        with task.beating(run.every) if run.every else contextlib.nullcontext():
            yield task
    except Exception as error:
        raised = error
    run.report(task, *_end(task, task.result, raised))


def _end(task: Task, result: Any, raised: BaseException | None) -> tuple[str, BaseException | None]:
    """Returns the completion of a run, and why it failed. A result that cannot be sent is a failure."""
    if raised is None:
        try:
            return _message.completed(task.id, task.attempt, result, task._stats), None
        except Permanent as refused:
            raised = refused
    return _message.failed(task.id, task.attempt, raised, task._stats), raised


def _is_batch(event: Any) -> bool:
    """Recognises the event of an SQS event source mapping. A task whose payload has an attribute Records is none: it also has drover."""
    if not isinstance(event, dict) or "drover" in event:
        return False
    records = event.get("Records")
    return isinstance(records, list) and bool(records) and isinstance(records[0], dict) and records[0].get("eventSource") == "aws:sqs"


def sent_at(text: Any) -> float | None:
    """Returns the time at which a message was put into its queue, in seconds, or None if the message does not have it."""
    try:
        return int(text) / 1000
    except (TypeError, ValueError):
        return None
