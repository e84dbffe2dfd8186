"""The settings, and the page that lists them."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.settings import DEMO_TOKEN_KEY, PROJECT_ROOT, Settings, settings_page


def test_the_page_of_settings_is_the_generated_one() -> None:
    page = (PROJECT_ROOT / "docs" / "settings.md").read_text()
    assert page == settings_page(), "run `make docs`"


def test_every_setting_says_what_it_is_for() -> None:
    silent = [name for name, field in Settings.model_fields.items() if not field.description]
    assert not silent


def test_the_token_key_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSREC_TOKEN_KEY", "s3cret-of-the-house")
    settings = Settings()
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in settings.model_dump_json()
    assert not settings.uses_demo_token_key


def test_the_demo_key_is_known_for_one() -> None:
    assert Settings().uses_demo_token_key
    assert "demo" in DEMO_TOKEN_KEY


def test_the_environment_gives_the_same_settings_again_and_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=Path("/data"), warehouse=Path("/data/w.duckdb"), horizon_days=3, auto_promote=False, diversity=0.25,
        training_params={"hidden": [64, 32]}, token_key=SecretStr("s3cret-of-the-house"),
    )  # fmt: skip
    environment = settings.environment()
    assert "s3cret" not in str(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings(token_key=settings.token_key) == settings


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql://me:secret@db:5432/mlflow", "postgresql://db:5432/mlflow"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_what_is_shown_of_mlflow_has_no_password(uri: str, shown: str) -> None:
    assert Settings(mlflow_tracking_uri=uri).mlflow_name == shown


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ('{"layers": 3}', r"no such hyper-parameter: layers\. Known: epochs, batch_size, hidden, "),
        ("oops", r"expected a JSON object, such as \{\"epochs\": 4\}\. Received: 'oops'"),
        ('{"wide_l1": 0}', "greater than 0"),
    ],
)
def test_hyper_parameters_that_do_not_exist_or_cannot_be_are_refused(
    given: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CROSSREC_TRAINING_PARAMS", given)
    with pytest.raises(ValueError, match=message):
        Settings()


def test_a_folder_is_the_same_one_for_every_process_of_a_night(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They run in other folders than the command that starts them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CROSSREC_HOME", "mine")
    monkeypatch.setenv("CROSSREC_DBT_PROJECT", "world/dbt_project")
    settings = Settings()
    assert (settings.home, settings.dbt_project) == (tmp_path / "mine", tmp_path / "world" / "dbt_project")
    assert settings.environment()["CROSSREC_DBT_PROJECT"] == str(tmp_path / "world" / "dbt_project")
