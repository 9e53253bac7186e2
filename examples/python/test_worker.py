"""Tests of the Python worker, without AWS: python3 -m unittest, in this folder."""

import io
import json
import pathlib
import unittest
from unittest import mock

import worker

DATA = pathlib.Path(__file__).parent.parent / "weather" / "data" / "seattle-weather.csv"
COMPLETIONS = "https://sqs.eu-west-1.amazonaws.com/000000000000/completions"


# Counted in the data with grep.
COUNTS = {"2012": {"rain": 191, "snow": 21}, "2013": {"rain": 60, "snow": 2}}


class FakeAWS:
    """Stands for both clients: a bucket "b" that has the data under the key "k", and a queue that records its messages."""

    def __init__(self, s3_error=None, sqs_error=None):
        self.sent = []
        self.s3_error = s3_error
        self.sqs_error = sqs_error

    def get_object(self, Bucket, Key):
        if self.s3_error:
            raise self.s3_error
        assert (Bucket, Key) == ("b", "k")
        return {"Body": io.BytesIO(DATA.read_bytes())}

    def send_message(self, QueueUrl, MessageBody):
        if self.sqs_error:
            raise self.sqs_error
        assert QueueUrl == COMPLETIONS
        self.sent.append(json.loads(MessageBody))


def event(**payload):
    drover = {"version": 1, "task_id": "abc.7", "job_id": "j", "labourer_id": "l", "attempt": 2,
              "deadline": "2999-01-01T00:00:00Z", "completions_url": COMPLETIONS}
    return {**payload, "task_id": "abc.7", "drover": drover}


class WorkerTest(unittest.TestCase):
    def perform(self, aws, an_event):
        with mock.patch.object(worker, "client", lambda service: aws):
            worker.handler(an_event)
        self.assertEqual(1, len(aws.sent))
        return aws.sent[0]

    def test_reports_what_it_counted(self):
        sent = self.perform(FakeAWS(), event(bucket="b", key="k", years=["2012", "2013"], kinds=["rain", "snow"]))
        self.assertEqual({
            "version": 1, "task_id": "abc.7", "attempt": 2, "status": "completed",
            "result": COUNTS, "stats": {"lines": 1461},
        }, sent)

    def test_counts_each_day_once(self):
        sent = self.perform(FakeAWS(), event(bucket="b", key="k", years=["2012", "2013", "2014", "2015"], kinds=sorted(worker.KINDS)))
        self.assertEqual([366, 365, 365, 365], [sum(kinds.values()) for kinds in sent["result"].values()])

    def test_refuses_permanently_what_it_cannot_process(self):
        for payload, message in [
            ({"bucket": "b", "key": "k", "kinds": ["rain"]}, "years is null; want a list of strings"),
            ({"bucket": "b", "key": "k", "years": [2012], "kinds": ["rain"]}, "years is [2012]; want a list of strings"),
            ({"bucket": "b", "key": "k", "years": ["2012"], "kinds": ["hail"]}, "kinds has 'hail'; want some of drizzle, fog, rain, snow, sun"),
            ({"key": "k", "years": ["2012"], "kinds": ["rain"]}, "bucket is missing; bucket and key name the data in S3"),
        ]:
            with self.subTest(message):
                sent = self.perform(FakeAWS(), event(**payload))
                self.assertEqual("failed", sent["status"])
                self.assertEqual({"type": "BadInput", "message": message}, sent["error"])
                self.assertIs(False, sent["retryable"])

    def test_asks_for_another_attempt_when_the_data_cannot_be_read(self):
        sent = self.perform(FakeAWS(s3_error=TimeoutError("no answer")), event(bucket="b", key="k", years=["2012"], kinds=["rain"]))
        self.assertEqual("failed", sent["status"])
        self.assertEqual({"type": "TimeoutError", "message": "no answer"}, sent["error"])
        self.assertIs(True, sent["retryable"])

    def test_fails_the_invocation_when_it_cannot_report(self):
        with self.assertRaisesRegex(ConnectionError, "no queue"):
            self.perform(FakeAWS(sqs_error=ConnectionError("no queue")), event(bucket="b", key="k", years=["2012"], kinds=["rain"]))

    def test_does_not_touch_a_task_of_another_version(self):
        newer = event(bucket="b", key="k", years=["2012"], kinds=["rain"])
        newer["drover"]["version"] = 2
        with self.assertRaisesRegex(ValueError, "drover.version is 2; this worker knows version 1"):
            self.perform(FakeAWS(), newer)


if __name__ == "__main__":
    unittest.main()
