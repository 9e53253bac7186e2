"""Runs the tasks of a queue in a process."""

from __future__ import annotations

import logging
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ._errors import BadEvent, CompletionError
from ._task import Task, parse_task
from ._worker import backoff, final, sent_at

if TYPE_CHECKING:
    from ._worker import Worker

_log = logging.getLogger("drover_worker")

_LONG_POLL = 20  # seconds that SQS waits for a message; SQS allows no more
_MOST = 10  # messages that SQS returns at once


def poll(worker: Worker, url: str, concurrency: int, visibility: float, drain: float, stop: threading.Event | None) -> None:
    if not url:
        raise ValueError("queue_url is empty; want the URL of the labourer's SQS target")
    if concurrency < 1:
        raise ValueError(f"concurrency is {concurrency}; want at least 1")
    if not 10 <= visibility <= 12 * 3600:
        raise ValueError(f"visibility is {visibility} s; want 10 s to 12 h")
    if stop is None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    _Poller(worker, url, concurrency, visibility, drain, stop).poll()


class _Poller:
    def __init__(self, worker: Worker, url: str, concurrency: int, visibility: float, drain: float, stop: threading.Event) -> None:
        self.worker, self.url, self.visibility, self.drain, self.stop = worker, url, visibility, drain, stop
        self.sqs = worker.sqs(url)
        self.free = threading.Semaphore(concurrency)
        self.pool = ThreadPoolExecutor(concurrency, "drover task")
        self.lock = threading.Lock()
        self.running: dict[Future[None], Task | None] = {}
        self.draining = threading.Event()

    def poll(self) -> None:
        try:
            self._receive_all()
        finally:
            self._drain()

    def _receive_all(self) -> None:
        failures = 0
        while not self.stop.is_set():
            places = self._places()
            if not places:
                continue
            messages: list[dict[str, Any]] = []
            try:
                messages = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=places, WaitTimeSeconds=_LONG_POLL,
                                                    VisibilityTimeout=int(self.visibility + 0.999), MessageSystemAttributeNames=["SentTimestamp"]).get("Messages", [])
                failures = 0
            except Exception as error:
                if final(error):
                    raise
                failures += 1
                _log.warning("receiving failed: %s", type(error).__name__)
                self.stop.wait(backoff(failures))
            finally:
                for _ in range(places - len(messages)):
                    self.free.release()
            for message in messages:
                future = self.pool.submit(self._message, message)
                with self.lock:
                    self.running[future] = None
                future.add_done_callback(self._ended)

    def _places(self) -> int:
        """Takes free places: it waits a moment for the first."""
        if not self.free.acquire(timeout=0.2):
            return 0
        places = 1
        while places < _MOST and self.free.acquire(blocking=False):
            places += 1
        return places

    def _ended(self, future: Future[None]) -> None:
        with self.lock:
            self.running.pop(future, None)
        self.free.release()

    def _drain(self) -> None:
        """Lets running tasks end, then tells the others that they are lost."""
        end = time.monotonic() + self.drain
        while self.running and time.monotonic() < end:
            time.sleep(0.05)
        self.draining.set()
        end = time.monotonic() + 4
        while self.running and time.monotonic() < end:
            time.sleep(0.05)
        self.pool.shutdown(wait=not self.running, cancel_futures=True)
        if self.running:
            raise RuntimeError(f"{len(self.running)} tasks still run after they were told to end; their messages return to the queue by themselves")

    def _message(self, message: dict[str, Any]) -> None:
        try:
            task = parse_task(message.get("Body"))
        except BadEvent as error:
            _log.error("message %s is no task: %s", message.get("MessageId"), error.field)
            return
        worker, sent = self.worker, sent_at((message.get("Attributes") or {}).get("SentTimestamp"))
        worker._received(task, sent)
        worker._start(task, None, sent)
        every = worker.every
        if every is None:
            began = sent if sent is not None else worker.clock()
            every = max((task.deadline.timestamp() - began) / 3, 1.0)
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep_hidden, args=(message, task, ended), daemon=True)
        keeper.start()
        try:
            with task.beating(every):
                text, failure = worker.run(task, worker.function)
        finally:
            ended.set()
            keeper.join()
        self._settle(message, task, text, failure)

    def _settle(self, message: dict[str, Any], task: Task, text: str, error: BaseException | None) -> None:
        if error is not None and task._lost.is_set():
            if self.draining.is_set():
                self._hide(message, 0)
            _log.warning("task %s, attempt %d: abandoned", task.id, task.attempt)
            return
        try:
            self.worker.report(task, text, error)
        except CompletionError:
            _log.error("task %s, attempt %d: not reported; its message is redelivered", task.id, task.attempt)
            return
        for tries in range(1, 4):
            try:
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                return
            except Exception as problem:  # the task would run again, which delivery at least once allows
                _log.warning("message %s is not deleted: %s", message.get("MessageId"), type(problem).__name__)
                if final(problem):
                    return
                time.sleep(backoff(tries))

    def _keep_hidden(self, message: dict[str, Any], task: Task, ended: threading.Event) -> None:
        """Renews the message's invisibility until the run has ended. The task is lost if SQS says so, or confirms nothing for too long."""
        hidden, due = time.monotonic() + self.visibility, time.monotonic() + self.visibility / 3
        while not ended.wait(0.05):
            if self.draining.is_set():
                task._lost.set()
            if time.monotonic() < due:
                continue
            asked = time.monotonic()
            due = asked + self.visibility / 3
            failure = self._hide(message, self.visibility)
            if failure is None:
                hidden = asked + self.visibility
            elif final(failure) or time.monotonic() >= hidden:
                task._lost.set()

    def _hide(self, message: dict[str, Any], seconds: float) -> Exception | None:
        try:
            self.sqs.change_message_visibility(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=int(seconds + 0.999))
        except Exception as error:
            _log.warning("message %s: its visibility is not changed: %s", message.get("MessageId"), type(error).__name__)
            return error
        return None
