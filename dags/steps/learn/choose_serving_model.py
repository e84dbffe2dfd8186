"""Step 8, its end: the serving version of this night is fixed here."""

import logging

from dags.steps.night import Night
from dags.steps.records import Evaluation, Promotion, ServingModel

log = logging.getLogger(__name__)


class NoServingModelError(RuntimeError):
    """No version may serve, although there is enough history for one."""


def choose_serving_model(night: Night) -> None:
    """Promote the challenger if the gate lets it, and record the version that makes all lists of this night.

    Raises:
        NoServingModelError: the gate kept the challenger back, and there is no champion.
    """
    from infra.mlflow.registry import Registry

    registry, evaluation = Registry(night.settings), night.read(Evaluation)
    challenger, champion = evaluation.challenger, evaluation.champion
    if challenger is not None and night.read(Promotion).promote and challenger != champion:
        version = registry.version(challenger.version)
        assert version is not None, "the challenger was compared a task before"
        registry.promote(version)
    serving = registry.champion()
    if serving is None and challenger is not None:
        raise NoServingModelError(
            f"no version of '{night.settings.model_name}' is champion, so nothing may be scored. Received: no alias. "
            "Remedy: see why the promotion gate kept the challenger back, or promote a version in MLflow."
        )
    night.write(
        ServingModel(
            version=serving.version if serving else None,
            run_id=serving.run_id if serving else None,
        )
    )
    log.info(f"version {serving.version} serves tonight" if serving else "no model serves yet")
