"""MLflow's entry point in a registered version, and the only module here that reads a file. A night does not use it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import pyarrow as pa

from .scoring import score
from .wide_deep import WideDeep, network_of

if TYPE_CHECKING:
    import pandas as pd


class RawColumnScorer:
    """A frame of raw columns in, a frame with one column `score` out."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def predict(self, frame: "pd.DataFrame", params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Scores each row as a night does. MLflow passes `params`, and there are none."""
        columns = {column.name: pa.array(frame[column.name], from_pandas=True) for column in self.model.inputs}
        scores = score(self.model, network_of(self.model).spec, pa.table(columns))
        return frame[[]].assign(score=scores)


def _load_pyfunc(path: str) -> RawColumnScorer:
    """MLflow calls this by its name, with the folder that holds the Keras model."""
    file = Path(path) / "model.keras"
    return RawColumnScorer(keras.saving.load_model(file, custom_objects={WideDeep.__name__: WideDeep}, compile=False))
