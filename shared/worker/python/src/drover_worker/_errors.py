"""The exceptions that a worker raises and that it gets."""

from __future__ import annotations


class Failure(Exception):
    """Ends the attempt as failed. Drover retries the task by the labourer's policy."""

    retryable = True

    def __init__(self, message: str = "", *, type: str | None = None) -> None:
        super().__init__(message)
        self.type = type


class Permanent(Failure):
    """Ends the attempt as failed, and the task with it: a retry would not help."""

    retryable = False


class RetryAfter(Failure):
    """Ends the attempt as failed, and asks for this many seconds before the next, within the labourer's policy. Below 0 means 0."""

    def __init__(self, seconds: float, message: str = "", *, type: str | None = None) -> None:
        super().__init__(message, type=type)
        self.seconds = max(float(seconds), 0.0)


class DeadlineExceeded(Failure):
    """The attempt's time is over."""

    def __init__(self, message: str = "the attempt's time is over") -> None:
        super().__init__(message, type="Timeout")


class LeaseLost(Failure):
    """The task is no longer this worker's: its message is visible to others, or the worker is being stopped."""


class BadEvent(ValueError):
    """The event is not a task of Drover. field is the path of the wrong attribute, or "event" for the whole."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class CompletionError(RuntimeError):
    """A run ended, but its completion could not be sent. For Drover the attempt is still running."""


MOST_MESSAGE = 2048  # bytes of a failure's message
MOST_TYPE = 128


def described(error: BaseException) -> dict[str, str]:
    """Returns the `error` of a completion."""
    return {"type": clip(kind_of(error), MOST_TYPE), "message": clip(_message_of(error), MOST_MESSAGE)}


def kind_of(error: BaseException) -> str:
    if isinstance(error, Failure):
        if error.type:
            return error.type
        if error.__cause__ is not None:
            return kind_of(error.__cause__)
    code = code_of(error)
    if code:
        return code
    if isinstance(error, TimeoutError):
        return "Timeout"
    return type(error).__name__


def code_of(error: BaseException) -> str:
    """Returns the code of an AWS error, or ""."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict) or not isinstance(response.get("Error"), dict):
        return ""
    return str(response["Error"].get("Code", ""))


def _message_of(error: BaseException) -> str:
    text = str(error)
    if not text and error.__cause__ is not None:
        text = str(error.__cause__)
    return text or type(error).__name__


def clip(text: str, limit: int) -> str:
    """Cuts a text that is longer than limit bytes, between two characters, and adds a note."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode("utf-8")
    note = f"… ({len(encoded)} bytes in all)"
    return encoded[: max(limit - len(note.encode()), 0)].decode("utf-8", "ignore") + note
