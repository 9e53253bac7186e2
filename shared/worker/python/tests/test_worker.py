"""What the protocol's suite cannot say: queues that fail, time, the poll loop, and Python's own ways."""

import json
import logging
import threading
import time
from datetime import datetime, timedelta, timezone

import pytest
from drover_worker import CompletionError, DeadlineExceeded, LeaseLost, Permanent, RetryAfter, Worker, attempt, worker

URL = "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"


class AWSError(Exception):
    """An error as botocore raises it."""

    def __init__(self, code, status):
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


class Queue:
    """A queue in memory, which fails as often as it is told to."""

    def __init__(self, *errors):
        self.errors, self.sent, self.deleted, self.shown, self.hidden, self.waiting = list(errors), [], [], [], 0, []
        self.lock = threading.Lock()

    def send_message(self, QueueUrl, MessageBody):
        if self.errors:
            error = self.errors.pop(0)
            if error:
                raise error
        self.sent.append(json.loads(MessageBody))

    def receive_message(self, MaxNumberOfMessages, **_):
        with self.lock:
            taken, self.waiting = self.waiting[:MaxNumberOfMessages], self.waiting[MaxNumberOfMessages:]
        if not taken:
            time.sleep(0.01)
        return {"Messages": taken}

    def delete_message(self, ReceiptHandle, **_):
        self.deleted.append(ReceiptHandle)

    def change_message_visibility(self, ReceiptHandle, VisibilityTimeout, **_):
        if VisibilityTimeout == 0:
            self.shown.append(ReceiptHandle)
        else:
            self.hidden += 1


def event(seconds=600, **payload):
    deadline = (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()
    drover = {"version": 1, "task_id": "abc.7", "job_id": "j", "labourer_id": "l", "attempt": 2, "deadline": deadline, "completions_url": URL}
    return {**payload, "task_id": "abc.7", "drover": drover}


def of(queue, function, **options):
    return Worker(function, sqs=lambda url: queue, **options)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("drover_worker._worker.backoff", lambda tries: 0)
    monkeypatch.setattr("drover_worker._poll.backoff", lambda tries: 0)


def test_the_decorator_makes_a_handler():
    @worker
    def plain(task):
        """Counts."""
        return task.payload["n"] + 1

    @worker(heartbeat=20)
    def beating(task):
        return None

    queue = Queue()
    plain.sqs = lambda url: queue
    assert plain(event(n=1))["result"] == 2
    assert (plain.__name__, plain.__doc__, beating.every) == ("plain", "Counts.", 20)


@pytest.mark.parametrize("error, kind, message, retryable", [
    (KeyError("store"), "KeyError", "'store'", True),
    (AWSError("AccessDenied", 403), "AccessDenied", "AccessDenied", True),
    (TimeoutError(), "Timeout", "TimeoutError", True),
    (Permanent("gone"), "Permanent", "gone", False),
    (RetryAfter(30), "RetryAfter", "RetryAfter", True),
])
def test_an_exception_names_its_failure(error, kind, message, retryable):
    def function(task):
        raise error

    sent = of(Queue(), function)(event())
    assert (sent["error"], sent["retryable"]) == ({"type": kind, "message": message}, retryable)


def test_a_permanent_error_has_the_type_of_its_cause():
    def function(task):
        try:
            return {}["store"]
        except KeyError as error:
            raise Permanent("no store") from error

    assert of(Queue(), function)(event())["error"] == {"type": "KeyError", "message": "no store"}


def test_a_completion_is_sent_again_until_the_queue_takes_it():
    queue = Queue(AWSError("ServiceUnavailable", 503), ConnectionError(), AWSError("ThrottlingException", 400))
    of(queue, lambda task: 1)(event())
    assert [message["result"] for message in queue.sent] == [1]


@pytest.mark.parametrize("errors", [[AWSError("AccessDenied", 403)], [ConnectionError()] * 7])
def test_a_completion_that_cannot_be_sent_fails_the_invocation(errors):
    with pytest.raises(CompletionError):
        of(Queue(*errors), lambda task: 1)(event())


def test_a_result_that_the_queue_refuses_is_a_failure_for_good():
    queue = Queue(AWSError("InvalidMessageContents", 400))
    of(queue, lambda task: 1)(event())
    assert [(message["error"]["type"], message["retryable"]) for message in queue.sent] == [("ResultTooLarge", False)]


def test_a_block_is_an_attempt():
    queue = Queue()
    with attempt(event(n=1), sqs=lambda url: queue) as task:
        task.stat("rows", 3)
        task.result = task.payload["n"]
    with attempt(event(), sqs=lambda url: queue) as task:
        raise Permanent("gone")
    assert [message["status"] for message in queue.sent] == ["completed", "failed"]
    assert (queue.sent[0]["result"], queue.sent[0]["stats"]) == (1, {"rows": 3})


def test_time_is_short_of_the_deadline_and_of_the_function():
    class Context:
        @staticmethod
        def get_remaining_time_in_millis():
            return 10_000

    left = []
    one = of(Queue(), lambda task: left.append(task.remaining()))
    one(event(600))
    one(event(600), Context())
    of(Queue(), lambda task: left.append(task.remaining()), timeout=5)(event(600))
    assert [round(seconds, 1) for seconds in left] == [598.0, 9.0, 4.5]


def test_a_heartbeat_extends_the_time():
    now = [time.time()]
    one = event(100)

    def function(task):
        now[0] += 99
        with pytest.raises(DeadlineExceeded):
            task.check()
        task.heartbeat()
        task.check()
        return round(task.remaining())

    assert of(Queue(), function, clock=lambda: now[0])(one)["result"] == 98


def test_heartbeats_are_sent_while_the_function_runs():
    queue = Queue()
    of(queue, lambda task: time.sleep(0.2), heartbeat=0.05)(event())
    assert [message["status"] for message in queue.sent][:2] == ["running", "running"]
    assert queue.sent[-1]["status"] == "completed"


def test_no_log_has_a_payload_or_a_message(caplog):
    def function(task):
        raise ValueError(task.payload["secret"])

    with caplog.at_level(logging.DEBUG):
        of(Queue(), function)(event(secret="hunter2"))
    assert "ValueError" in caplog.text
    assert "hunter2" not in caplog.text


def message(number, body):
    return {"MessageId": f"m{number}", "ReceiptHandle": f"r{number}", "Body": json.dumps(body)}


def polled(queue, function, until, **options):
    """Polls until a condition holds, then stops."""
    stop = threading.Event()

    def stopper():
        end = time.monotonic() + 5
        while not until() and time.monotonic() < end:
            time.sleep(0.01)
        stop.set()

    thread = threading.Thread(target=stopper)
    thread.start()
    try:
        of(queue, function).poll("https://queue", stop=stop, **options)
    finally:
        thread.join()


def test_a_poller_runs_tasks_at_once_and_deletes_their_messages():
    queue, most, running = Queue(), [0], [0]
    queue.waiting = [message(n, event(n=n)) for n in range(6)]
    lock = threading.Lock()

    def function(task):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.05)
        with lock:
            running[0] -= 1
        return task.payload["n"]

    polled(queue, function, lambda: len(queue.deleted) == 6, concurrency=3)
    assert sorted(message["result"] for message in queue.sent) == [0, 1, 2, 3, 4, 5]
    assert sorted(queue.deleted) == [f"r{n}" for n in range(6)]
    assert most[0] == 3


def test_a_message_without_a_task_stays_in_the_queue():
    queue = Queue()
    queue.waiting = [message(1, {"no": "task"}), message(2, event())]
    polled(queue, lambda task: None, lambda: queue.deleted)
    assert queue.deleted == ["r2"]


def test_a_poller_that_is_stopped_lets_tasks_end():
    queue, begun = Queue(), threading.Event()
    queue.waiting = [message(1, event())]

    def function(task):
        begun.set()
        time.sleep(0.2)

    polled(queue, function, begun.is_set)
    assert (queue.deleted, [message["status"] for message in queue.sent]) == (["r1"], ["completed"])


def test_a_task_that_does_not_end_goes_back_to_the_queue():
    queue, begun = Queue(), threading.Event()
    queue.waiting = [message(1, event())]

    def function(task):
        begun.set()
        while True:
            time.sleep(0.01)
            task.check()

    polled(queue, function, begun.is_set, drain=0.1)
    assert (queue.deleted, queue.shown, queue.sent) == ([], ["r1"], [])


def test_a_queue_that_does_not_exist_ends_the_poller():
    class Missing(Queue):
        def receive_message(self, **_):
            raise AWSError("AWS.SimpleQueueService.NonExistentQueue", 400)

    with pytest.raises(AWSError):
        of(Missing(), lambda task: None).poll("https://queue", stop=threading.Event())


@pytest.mark.parametrize("wrong", [{"queue_url": ""}, {"queue_url": "q", "concurrency": 0}, {"queue_url": "q", "visibility": 5}])
def test_wrong_settings_of_a_poller_are_refused(wrong):
    with pytest.raises(ValueError):
        of(Queue(), lambda task: None).poll(**wrong, stop=threading.Event())


def test_a_lost_task_is_told_so():
    found = []

    def function(task):
        task._lost.set()
        with pytest.raises(LeaseLost):
            task.check()
        found.append(True)

    of(Queue(), function)(event())
    assert found
