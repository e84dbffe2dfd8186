"""What takes long to make is made once for all test processes, and copied for the tests that change it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from infra.demo import build_demo
from infra.deploy.embedded import airflow_environment
from infra.deploy.servers import prepare_airflow
from infra.settings import Settings


class Store:
    """Folders that all test processes of one session share."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str, build: Callable[[Path], None]) -> Path:
        """The folder ``name``. The first process that asks for it calls ``build(folder)``; the others wait.

        Nobody may change the folder afterwards.
        """
        folder, done = self.root / name, self.root / f"{name}.done"
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                build(folder)
                done.touch()
        return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Store:
    """The store of this session. Its folder is deleted with pytest's own."""
    own = tmp_path_factory.getbasetemp()
    root = (own if worker_id == "master" else own.parent) / "store"
    root.mkdir(exist_ok=True)
    return Store(root)


@pytest.fixture(scope="session")
def demo(store: Store) -> Path:
    """The small demo's platforms, to be read and left as they are."""
    return store.folder("platforms", lambda folder: build_demo(folder / "demo", "small")) / "demo"


@pytest.fixture
def prepared_home(store: Store, demo: Path, tmp_path: Path) -> Path:
    """A home in which no night has run. It has what the first night makes first: the demo and Airflow's database."""
    prepared = store.folder("prepared", lambda folder: prepare_airflow(airflow_environment(Settings(home=folder))))
    home = tmp_path / "home"
    shutil.copytree(prepared, home)
    shutil.copytree(demo, home / "demo")
    return home
