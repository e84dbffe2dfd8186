"""What a person reads in a log: our own facts, warnings and errors, and of everything else the warnings only."""

import logging

from pydantic import ValidationError

PACKAGES = ("dags", "expectations", "infra", "ml")  # our own code


def show_our_logs() -> None:
    """Let this process write all that our code logs (progress at DEBUG, facts at INFO), and of other libraries the warnings.

    TensorFlow's notes on retracing are warnings that nobody can act on, so TensorFlow writes errors only.
    """
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.NOTSET)
        if not any(isinstance(known, OursOrWarning) for known in handler.filters):
            handler.addFilter(OursOrWarning())
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


class OursOrWarning(logging.Filter):
    """Lets a record of our code pass, and a warning of any code: some libraries set the level of their own logger to INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.name.partition(".")[0] in PACKAGES


def explained(error: BaseException) -> BaseException | None:
    """What is told of the error without a traceback: an error of our code, or what an operator can mend; None for any other."""
    if is_ours(error):
        return error
    from infra.settings import Settings
    from infra.state import as_state_error

    if isinstance(error, ValidationError):
        return _wrong_settings(error) if error.title == Settings.__name__ else None
    return as_state_error(error, f"MLflow's database {Settings().mlflow_name}")


def _wrong_settings(error: ValidationError) -> ValueError:
    faults = [f"CROSSREC_{'.'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
    return ValueError(f"settings that cannot be used. Received: {'; '.join(faults)}. Remedy: see docs/settings.md.")


def is_ours(error: BaseException | None) -> bool:
    """Whether our code declares the error: then its message is written for people, and a traceback would only bury it."""
    return error is not None and type(error).__module__.partition(".")[0] in PACKAGES
