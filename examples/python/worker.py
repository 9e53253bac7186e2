"""A Python worker that uses no code of Drover: it shows everything that a worker has to do.

It is a Lambda function (handler: worker.handler). Its event is a task. It counts the days of each kind of weather in the years that the task
names, and sends one message with the result or the error.
"""

import csv
import functools
import io
import json

KINDS = {"drizzle", "fog", "rain", "snow", "sun"}


class BadInput(Exception):
    """The payload cannot be processed, and a retry would not help."""


def handler(event, context=None):
    drover = event["drover"]
    if drover["version"] != 1:
        raise ValueError(f"drover.version is {drover['version']}; this worker knows version 1")
    payload = {name: value for name, value in event.items() if name not in ("drover", "task_id")}
    report(drover, outcome(payload))


def outcome(payload):
    """Does the work, and returns the outcome as fields of the completion message."""
    try:
        counts, lines = count(payload)
    except BadInput as error:
        return {"status": "failed", "error": described(error), "retryable": False}
    except Exception as error:  # a retry may help with any other error
        return {"status": "failed", "error": described(error), "retryable": True}
    return {"status": "completed", "result": counts, "stats": {"lines": lines}}


def described(error):
    return {"type": type(error).__name__, "message": str(error)[:2000]}


def report(drover, how):
    # If this raises an exception, the invocation fails, and Drover learns of it from the function's on-failure destination.
    message = {"version": 1, "task_id": drover["task_id"], "attempt": drover["attempt"], **how}
    client("sqs").send_message(QueueUrl=drover["completions_url"], MessageBody=json.dumps(message))


def count(payload):
    """Returns the days by year and kind, {"2012": {"rain": 191}}, and the number of lines that were read."""
    years = listed(payload, "years")
    kinds = listed(payload, "kinds")
    unknown = sorted(set(kinds) - KINDS)
    if unknown:
        raise BadInput(f"kinds has {unknown[0]!r}; want some of {', '.join(sorted(KINDS))}")
    counts = {year: dict.fromkeys(kinds, 0) for year in years}
    lines = 0
    for line in records(payload):
        lines += 1
        year = line["date"][:4]
        if year in counts and line["weather"] in counts[year]:
            counts[year][line["weather"]] += 1
    return counts, lines


def listed(payload, name):
    values = payload.get(name)
    if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
        raise BadInput(f"{name} is {json.dumps(values)}; want a list of strings")
    return values


def records(payload):
    for name in ("bucket", "key"):
        if not isinstance(payload.get(name), str):
            raise BadInput(f"{name} is missing; bucket and key name the data in S3")
    body = client("s3").get_object(Bucket=payload["bucket"], Key=payload["key"])["Body"]
    return csv.DictReader(io.StringIO(body.read().decode("utf-8")))


@functools.cache
def client(service):
    import boto3  # imported here, because the tests do not need it

    return boto3.client(service)
