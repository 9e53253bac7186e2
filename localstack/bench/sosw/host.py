"""Runs one of sosw's essential functions as Lambda does, unmodified: one process, one event after the other.

    host.py scheduler|orchestrator|scavenger|worker_assistant

Each line of standard input is an event. For each, a line of standard output tells how the invocation ended, how long it took, and how many bytes its
log has, with the lines that Lambda adds. The first line tells how long it took to import sosw.
"""
import importlib
import json
import logging
import os
import sys
import time
import uuid

started = time.monotonic()

CLASSES = {"scheduler": "Scheduler", "orchestrator": "Orchestrator", "scavenger": "Scavenger", "worker_assistant": "WorkerAssistant"}
TIMEOUTS = {"scheduler": 900, "orchestrator": 60, "scavenger": 60, "worker_assistant": 30}    # seconds, of sosw's own templates
EACH_LOG_EVENT = 26     # bytes that CloudWatch adds


class CountingHandler(logging.Handler):
    """Counts the bytes of log lines in the format of Lambda's Python runtime."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def emit(self, record):
        line = f"[{record.levelname}]\t2026-01-01T00:00:00.000Z\t{uuid.UUID(int=0)}\t{self.format(record)}\n"
        self.bytes += len(line.encode()) + EACH_LOG_EVENT


class Context:
    """What Lambda tells a handler about its invocation."""

    def __init__(self, name):
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.invoked_function_arn = f"arn:aws:lambda:{os.environ['AWS_REGION']}:000000000000:function:{self.function_name}"
        self.aws_request_id = str(uuid.uuid4())
        self.log_stream_name = f"2026/01/01/[$LATEST]{uuid.UUID(int=0).hex}"
        self.ends = time.monotonic() + TIMEOUTS[name]

    def get_remaining_time_in_millis(self):
        return int((self.ends - time.monotonic()) * 1000)


def of_lambda(context):
    """The lines that Lambda writes about each invocation, in bytes."""
    lines = (f"START RequestId: {context.aws_request_id} Version: $LATEST\n", f"END RequestId: {context.aws_request_id}\n",
             f"REPORT RequestId: {context.aws_request_id}\tDuration: 1234.56 ms\tBilled Duration: 1235 ms\tMemory Size: 256 MB\tMax Memory Used: 100 MB\t\n")
    return sum(len(line) + EACH_LOG_EVENT for line in lines)


def main(name):
    log = CountingHandler()
    logging.getLogger().addHandler(log)
    from sosw.app import LambdaGlobals, get_lambda_handler
    handler = get_lambda_handler(getattr(importlib.import_module(f"sosw.{name}"), CLASSES[name]), LambdaGlobals())
    say(seconds=time.monotonic() - started)
    for line in sys.stdin:
        log.bytes, context, began, error = 0, Context(name), time.monotonic(), None
        try:
            handler(json.loads(line), context)
        except Exception as e:
            error = f"{type(e).__name__}: {e}"
        say(seconds=time.monotonic() - began, log_bytes=log.bytes + of_lambda(context), error=error)


def say(**fields):
    print(json.dumps(fields), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
