"""State of the installation that is damaged or out of reach: one error, which names the path and the remedy."""

from typing import Any, Self


class StateError(RuntimeError):
    """A file, database or disk that crossrec itself keeps is damaged or cannot be used.

    ``path`` says where it lies, and ``retryable`` whether trying again later can help. The message holds no value of a row.
    """

    def __init__(self, problem: str, *, path: object, received: str, remedy: str, retryable: bool = False) -> None:
        self.path, self.retryable = str(path), retryable
        super().__init__(f"{problem}. Received: {received}. Remedy: {remedy}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.path, self.retryable)

    @classmethod
    def _of(cls, message: str, path: str, retryable: bool) -> Self:
        error = cls.__new__(cls)
        RuntimeError.__init__(error, message)
        error.path, error.retryable = path, retryable
        return error


def _rebuilt(kind: type[StateError], message: str, path: str, retryable: bool) -> StateError:
    return kind._of(message, path, retryable)
