"""A typical sosw worker, which knows nothing of Drover.

It counts the words of its section's text. A section without a text fails with an exception, like any Lambda function.
"""

from sosw.app import LambdaGlobals, get_lambda_handler
from sosw.worker import Worker


class WordCounter(Worker):
    DEFAULT_CONFIG = {
        "init_clients": ["lambda"],
    }

    def __call__(self, event):
        words = event["text"].split()
        self.stats["texts"] += 1
        self.result["words"] = len(words)
        self.result["days"] = len(event["date_list"])
        super().__call__(event)  # reports to the worker assistant that the task is completed


global_vars = LambdaGlobals()
lambda_handler = get_lambda_handler(WordCounter, global_vars)
