"""A worker in Python, with nothing of Drover's: it shows all that a worker has to do.

As a Lambda (handler: worker.handler) it gets a task as its event, counts the days of each kind of weather in the years that
the task names, and sends one message that says how it went.
"""

import csv
import functools
import io
import json

KINDS = {"drizzle", "fog", "rain", "snow", "sun"}


class BadInput(Exception):
    """The payload cannot be worked on, at the next attempt as little as now."""


def handler(event, context=None):
    drover = event["drover"]
    if drover["version"] != 1:
        raise ValueError(f"drover.version is {drover['version']}, this worker knows version 1")
    payload = {name: value for name, value in event.items() if name not in ("drover", "task_id")}
    report(drover, outcome(payload))


def outcome(payload):
    """Does the work, and says how it went in the words of the completion message."""
    try:
        counts, lines = count(payload)
    except BadInput as error:
        return {"status": "failed", "error": described(error), "retryable": False}
    except Exception as error:  # whatever it is, the next attempt may fare better
        return {"status": "failed", "error": described(error), "retryable": True}
    return {"status": "completed", "result": counts, "stats": {"lines": lines}}


def described(error):
    return {"type": type(error).__name__, "message": str(error)[:2000]}


def report(drover, how):
    # If this raises, the invocation fails, and Drover learns of it by the function's on-failure destination.
    message = {"version": 1, "task_id": drover["task_id"], "attempt": drover["attempt"], **how}
    client("sqs").send_message(QueueUrl=drover["completions_url"], MessageBody=json.dumps(message))


def count(payload):
    """Days by year and kind, {"2012": {"rain": 191}}, and the number of lines that were read."""
    years = listed(payload, "years")
    kinds = listed(payload, "kinds")
    unknown = sorted(set(kinds) - KINDS)
    if unknown:
        raise BadInput(f"kinds: {unknown[0]!r} should be one of {', '.join(sorted(KINDS))}")
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
        raise BadInput(f"{name} is {json.dumps(values)}, should be a list of texts")
    return values


def records(payload):
    for name in ("bucket", "key"):
        if not isinstance(payload.get(name), str):
            raise BadInput(f"{name} is missing: bucket and key name the data in S3")
    body = client("s3").get_object(Bucket=payload["bucket"], Key=payload["key"])["Body"]
    return csv.DictReader(io.StringIO(body.read().decode("utf-8")))


@functools.cache
def client(service):
    import boto3  # here, so that the tests need none

    return boto3.client(service)
