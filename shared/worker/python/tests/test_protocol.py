"""Runs the suite that all SDKs share: ../../protocol/README.md explains its fields."""

import json
import math
import pathlib
from datetime import datetime

import pytest
from drover_worker import BadEvent, Failure, Permanent, RetryAfter, Worker

CASES = json.loads((pathlib.Path(__file__).parents[2] / "protocol" / "cases.json").read_text())["cases"]


class Queue:
    """Records messages."""

    def __init__(self):
        self.sent = []

    def send_message(self, QueueUrl, MessageBody):
        self.sent.append((QueueUrl, MessageBody))


def function_of(does):
    def function(task):
        assert not does.get("never"), "the function is called"
        for name, value in does.get("stats", {}).items():
            task.stat(name, value)
        if "stats_bytes" in does:
            task.stat("text", "x" * does["stats_bytes"])
        for _ in range(does.get("heartbeats", 0)):
            task.heartbeat()
        if "raises" in does:
            raise error_of(does["raises"])
        if does.get("returns_payload"):
            return task.payload
        if "returns_bytes" in does:
            return "x" * (does["returns_bytes"] - 2)
        if does.get("returns_nan"):
            return math.nan
        if does.get("returns_identity"):
            found = {"task_id": task.id, "job_id": task.job_id, "labourer_id": task.labourer_id, "attempt": task.attempt,
                     "deadline": task.deadline.isoformat().replace("+00:00", "Z")}
            extra = {"sosw_task_id": task.sosw_task_id, "traceparent": task.headers().get("traceparent")}
            return found | {name: value for name, value in extra.items() if value}
        return does.get("returns")

    return function


def error_of(raises):
    if raises.get("permanent"):
        return Permanent(raises["message"], type=raises["type"])
    if "retry_after" in raises:
        return RetryAfter(raises["retry_after"], raises["message"], type=raises["type"])
    return Failure(raises["message"], type=raises["type"])


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_protocol(case):
    queue = Queue()
    now = datetime.fromisoformat(case["now"].replace("Z", "+00:00")).timestamp()
    worker = Worker(function_of(case["does"]), clock=lambda: now, sqs=lambda url: queue)

    if "refuses" in case:
        with pytest.raises(BadEvent) as refused:
            worker(case["event"])
        assert refused.value.field == case["refuses"]
    else:
        answer = worker(case["event"])
        if "redelivers" in case:
            assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == case["redelivers"]

    assert [comparable(json.loads(text), want, text) for (_, text), want in zip(queue.sent, case["sends"], strict=True)] == case["sends"]
    for url, text in queue.sent:
        assert not [character for character in case.get("refused", []) if character in text]
        assert url == case.get("to", url)


def comparable(message, want, text):
    """Returns a message without what its case does not compare."""
    if "result_bytes" in want:
        message["result_bytes"] = len(json.dumps(message.pop("result")))
    if "error" in want and "message" not in want["error"]:
        assert message["error"].pop("message")
    return message
