"""How a ranker is saved: with the code that scores it, so that neither this repository nor its release is needed to load it.

The logged model has two flavours: `tensorflow` (the Keras model itself) and a pyfunc that scores a frame of raw columns. Both
find the layer in a copy of its package below `code/`. The copy has a name of its own, `crossrec_network_<hash of its files>`.
So it never hides a module of this repository, and two versions with different code load in one process.
"""

import hashlib
import pkgutil
import shutil
import sys
import tempfile
from importlib.metadata import version as installed
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

if TYPE_CHECKING:  # TensorFlow takes seconds to import, and most of the registry does without it
    import keras

NETWORK = "network"  # key of a version's metadata: the layer's class in this repository
_LOADER = "pyfunc"  # module of the layer's package that MLflow calls
_LIBRARIES = ("keras", "mlflow", "numpy", "pandas", "pyarrow")
# the CPU wheel is a third of the size, and is there for one kind of machine
_TENSORFLOW = {
    "tensorflow-cpu": "sys_platform == 'linux' and platform_machine == 'x86_64'",
    "tensorflow": "sys_platform != 'linux' or platform_machine != 'x86_64'",
}


def save_model(path: str, mlflow_model: Model, keras_model: "keras.Model", input_example: pd.DataFrame) -> None:
    """Saves the model in the folder `path`. MLflow calls this by its name, from `Model.log`."""
    import mlflow.tensorflow

    layer = layer_class(keras_model)
    with tempfile.TemporaryDirectory() as folder:
        package = _copied_package(layer, Path(folder))
        module = layer.__module__.rpartition(".")[2]
        mlflow.tensorflow.save_model(
            keras_model,
            path,
            mlflow_model=mlflow_model,
            code_paths=[str(package)],
            custom_objects={layer.__name__: _Named(f"{package.name}.{module}:{layer.__name__}")},
            signature=False,
            input_example=input_example,
            pip_requirements=requirements(),
        )
    # layers that other packages registered in this process: the model has none of them, and would need those packages
    (Path(path) / "data" / "global_custom_objects.cloudpickle").unlink(missing_ok=True)
    mlflow_model.signature = _signature(keras_model)
    pyfunc = mlflow_model.flavors[mlflow.pyfunc.FLAVOR_NAME]
    mlflow_model.add_flavor(mlflow.pyfunc.FLAVOR_NAME, **{**pyfunc, mlflow.pyfunc.MAIN: f"{package.name}.{_LOADER}"})
    mlflow_model.save(str(Path(path) / "MLmodel"))


def layer_class(model: "keras.Model") -> type:
    """The class of the one layer that is not Keras's own."""
    [layer] = [type(layer) for layer in model.layers if not type(layer).__module__.startswith("keras.")]
    return layer


def requirements() -> list[str]:
    """What scoring imports, pinned to what is installed here."""
    import tensorflow as tf

    return [
        *(f"{name}=={tf.__version__}; {where}" for name, where in _TENSORFLOW.items()),
        *(f"{name}=={installed(name)}" for name in _LIBRARIES),
    ]


class _Named:
    """Is pickled as the object of this name. The name is looked up where it is unpickled, not here."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return pkgutil.resolve_name, (self.name,)


def _copied_package(layer: type, folder: Path) -> Path:
    """A copy of the layer's package in `folder`, with a name that says its content."""
    package = sys.modules[layer.__module__.rpartition(".")[0]]
    files = sorted(Path(str(package.__file__)).parent.glob("*.py"))
    content = hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()
    copy = folder / f"crossrec_network_{content[:12]}"
    copy.mkdir()
    for file in files:
        shutil.copyfile(file, copy / file.name)
    return copy


def _signature(model: "keras.Model") -> ModelSignature:
    """Text and double columns in, a float `score` out. MLflow cannot infer it: its own pyfunc fails on text."""
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(DataType.string if column.dtype == "string" else DataType.double, column.name)
        for column in model.inputs
    ]
    return ModelSignature(Schema(inputs), Schema([ColSpec(DataType.float, "score")]))
