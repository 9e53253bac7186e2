"""Runs Drover's tasks in Python: see the README."""

from ._errors import BadEvent, CompletionError, DeadlineExceeded, Failure, LeaseLost, Permanent, RetryAfter
from ._task import Task, parse_task
from ._worker import Worker, attempt, worker

__all__ = ["BadEvent", "CompletionError", "DeadlineExceeded", "Failure", "LeaseLost", "Permanent", "RetryAfter", "Task", "Worker", "attempt",
           "parse_task", "worker"]
