"""Runs the workers in docs/from-sosw.md and in the README as they stand there."""

import json
import re
from pathlib import Path

import boto3
import pytest
from drover_worker import _worker
from test_worker import Queue, event

HERE = Path(__file__).resolve().parent
MOVING = HERE.parents[3] / "docs/from-sosw.md"
README = HERE.parent / "README.md"


def snippets(document):
    return re.findall(r"```python\n(.*?)```", document.read_text(), re.S)


def run(snippet, queue, monkeypatch, **names):
    """Runs a snippet with what it leaves to its reader, and returns what it defines. SQS is the queue."""
    monkeypatch.setattr(boto3, "client", lambda service, **_: queue)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    _worker._client.cache_clear()
    scope = {"count": len, **names}
    exec(compile(snippet, "snippet", "exec"), scope)
    return scope


def test_the_worker_of_sosw_reports_to_its_assistant(monkeypatch):
    worker = pytest.importorskip("sosw.worker")
    reported = []

    monkeypatch.setattr(worker.Worker, "mark_task_as_completed", lambda self, task: reported.append((task, dict(self.result))))
    scope = run(snippets(MOVING)[0], Queue(), monkeypatch)

    scope["Processor"](custom_config={})(event(sections=["a", "b"]))

    assert reported == [("abc.7", {"words": 2})]


def test_a_worker_without_the_assistant_sends_the_message(monkeypatch):
    queue = Queue()
    run(snippets(MOVING)[1], queue, monkeypatch)["handler"](event(sections=["a", "b"]), None)
    assert queue.sent == [{"version": 1, "task_id": "abc.7", "attempt": 2, "status": "completed", "result": {"words": 2}}]


def test_a_worker_with_the_sdk_sends_it_too(monkeypatch):
    queue = Queue()
    handler = run(snippets(MOVING)[2], queue, monkeypatch)["handler"]

    handler(event(sections=["a", "b"]), None)
    handler(event(), None)

    assert [(m["status"], m.get("result")) for m in queue.sent] == [("completed", {"words": 2}), ("failed", None)]
    assert (queue.sent[1]["error"], queue.sent[1]["retryable"]) == ({"type": "BadInput", "message": "sections is missing"}, False)


def test_the_workers_in_the_readme_run(monkeypatch):
    queue = Queue()
    scope = run(snippets(README)[0], queue, monkeypatch, load={"x": [1, 2]}.get, work=len)
    for payload in ({"store": "x"}, {"store": "y"}, {}):
        scope["handler"](event(**payload), None)
    assert [m["status"] for m in queue.sent] == ["completed", "failed", "failed"]
    assert [m.get("retryable") for m in queue.sent] == [None, True, False]
    assert queue.sent[0]["stats"] == {"rows": 2}

    queue.sent.clear()
    exec(compile("from drover_worker import attempt\n" + snippets(README)[1], "snippet", "exec"), scope)
    scope["handler"](event(store="x"), None)
    assert json.loads(json.dumps(queue.sent[0]["result"])) == 1
