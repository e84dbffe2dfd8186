"""What a person reads in a log: our own facts, warnings and errors, and of everything else the warnings only."""

import logging

PACKAGES = ("dags", "expectations", "infra", "ml")  # our own code


def show_our_logs() -> None:
    """Let the handlers of this process write all that our code logs: progress (DEBUG), facts (INFO), warnings.

    Other libraries keep the level of the root logger. TensorFlow's notes on retracing are warnings that nobody can act on, so
    TensorFlow writes errors only.
    """
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.NOTSET)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def is_ours(error: BaseException | None) -> bool:
    """Whether our code declares the error: then its message is written for people, and a traceback would only bury it."""
    return error is not None and type(error).__module__.partition(".")[0] in PACKAGES
