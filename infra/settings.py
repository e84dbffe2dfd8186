"""Every setting of crossrec, typed, in one place; each can be set by an environment variable ``CROSSREC_<NAME>``."""

import json
import re
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra import machine

PROJECT_ROOT = Path(__file__).resolve().parent.parent
DEMO_TOKEN_KEY = "demo-key-for-public-demo-data-only"  # noqa: S105  # public on purpose


class TunedParams(BaseModel):
    """Hyper-parameters of the ranker that count instead of its defaults."""

    model_config = ConfigDict(frozen=True)

    epochs: PositiveInt | None = None
    batch_size: PositiveInt | None = None
    hidden: tuple[PositiveInt, ...] | None = None
    embedding_dim: PositiveInt | None = None
    deep_learning_rate: PositiveFloat | None = None
    wide_learning_rate: PositiveFloat | None = None
    wide_l1: PositiveFloat | None = None
    embedding_l2: PositiveFloat | None = None

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            raise ValueError(f'expected a JSON object, such as {{"epochs": 4}}. Received: {given!r}')
        if unknown := sorted({*given} - {*cls.model_fields}):
            raise ValueError(f"no such hyper-parameter: {', '.join(unknown)}. Known: {', '.join(cls.model_fields)}")
        return given


class Settings(BaseSettings):
    """Settings with defaults that work on a fresh clone; ``docs/settings.md`` is generated from the descriptions here."""

    model_config = SettingsConfigDict(env_prefix="CROSSREC_", frozen=True)

    # --- where things live
    home: Path = Field(
        PROJECT_ROOT / "var", description="Folder of everything a night makes; the defaults below lie in it."
    )
    lake: str = Field("", description="Lake root: a folder or `s3://bucket/prefix`. Empty: `<home>/lake`.")
    s3_endpoint: str | None = Field(None, description="Address of an S3-compatible service; empty: AWS.")
    warehouse: Path | None = Field(
        None, description="DuckDB warehouse file that dbt builds. Empty: `<home>/warehouse.duckdb`."
    )
    demo: Path | None = Field(None, description="Folder of the demo platforms. Empty: `<home>/demo`.")
    dbt_project: Path = Field(
        PROJECT_ROOT / "dbt_project",
        description="Folder of the dbt project with the platforms' declarations, such as the one that `crossrec simulate` writes.",
    )
    mlflow_tracking_uri: str = Field(
        "", description="MLflow tracking and registry URI. Empty: SQLite in `<home>/mlflow`."
    )

    # --- what comes in
    warn_unknown_ids: float = Field(
        0.01,
        ge=0,
        le=1,
        description="The night warns where more of a platform's events of tonight than this name an account, or an item, that"
        " the platform does not have. Shares are of at least 500 events.",
    )
    max_unknown_ids: float = Field(
        0.2,
        ge=0,
        le=1,
        description="A load is held where more of its events than this name an account, or an item, that the platform does not"
        " have, unless its past has as many.",
    )

    # --- gates
    gate_history_days: int = Field(
        56, ge=14, description="Days before a night whose good loads the gate `contents` learns from."
    )
    gate_min_history_days: int = Field(
        14, ge=5, description="With fewer good days than this the gate `contents` warns and does not stop."
    )
    gate_false_stops_per_year: float = Field(
        0.1,
        gt=0,
        le=50,
        description="Stops of one platform in a year that chance alone may cause in the gate `contents`. Fewer: wider bounds.",
    )
    gate_max_quarantine: float = Field(
        0.05,
        gt=0,
        le=1,
        description="A load is held where more of it than this is in quarantine, unless its platform's past has as much.",
    )
    gate_max_changed: float = Field(
        0.2,
        gt=0,
        le=1,
        description="A load is held where it deletes, withdraws or changes (e-mail, gender, title, category ...) more of a platform's "
        "accounts or items than this, unless the platform's past has as much.",
    )

    # --- identity
    token_key: SecretStr = Field(
        SecretStr(DEMO_TOKEN_KEY),
        description="Key of the HMAC that turns e-mail and phone into tokens. The default is for demo data only.",
    )
    max_accounts_per_token: int = Field(8, ge=2, description="A token shared by more accounts than this links nobody.")
    max_items_per_code: int = Field(50, ge=2, description="A code that more items share than this links nothing.")
    max_cluster_size: int = Field(
        8,
        ge=2,
        description="No person gets more accounts than this, unless people decide so.",
    )
    max_product_items: int = Field(
        50, ge=2, description="No product gets more items than this, unless people decide so."
    )
    person_threshold: float = Field(
        0.9, gt=0, lt=1, description="Probability from which two accounts count as one person's."
    )
    product_threshold: float = Field(
        0.9, gt=0, lt=1, description="Probability from which two items count as one product."
    )
    behaviour_threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Cosine of interests from which two accounts are linked by what they like alone. Empty: never.",
    )
    min_link_precision: float = Field(
        0.98, ge=0, le=1, description="The night stops where links are expected to be right less often than this."
    )
    max_identity_churn: float = Field(
        0.02, ge=0, le=1, description="The night stops where more of the known accounts than this change their person."
    )
    max_identity_moves: float = Field(
        0.05,
        ge=0,
        le=1,
        description="The night stops where merges and splits would move the lists of more of the accounts than this.",
    )

    # --- what people did
    max_events_per_day: int = Field(
        1000, ge=1, description="Events of one account that count on one day (UTC); the first that were known."
    )

    # --- nights
    max_quiet_days: int = Field(
        7,
        ge=0,
        description="A night is refused whose date lies more than this, and the longest `max_staleness_days` of a platform,"
        " beyond the newest event of all platforms.",
    )

    # --- learning
    horizon_days: int = Field(7, ge=1, description="Days after a snapshot in which its labels happen.")
    snapshot_every_days: int = Field(7, ge=1, description="Spacing of the as-of snapshots that become training data.")
    training_snapshots: int = Field(
        8, ge=1, description="Labelled snapshots to train on, besides the newest, which is held out."
    )
    accepted_examples: date | None = Field(
        None,
        description="A night whose training examples a person found right: gate `training_data` only warns where they differ from"
        " those of earlier snapshots.",
    )
    epochs: int = Field(2, ge=1, description="Passes over the training examples.")
    loss: Literal["listwise", "log_loss"] = Field(
        "listwise", description="What the ranker learns: the order within each list, or each item's probability alone."
    )
    training_params: TunedParams | None = Field(
        None,
        description="Hyper-parameters of the ranker, as a JSON object that `crossrec tune` prints."
        " Its `epochs` count before `CROSSREC_EPOCHS`. Empty: the defaults.",
    )
    model_name: str = Field("crossrec-ranker", description="Name of the registered model in MLflow.")
    auto_promote: bool = Field(True, description="Promote a challenger that passes the gate without asking a person.")
    seed: int = Field(20001215, description="Seed of everything random.")

    # --- lists
    list_size: int = Field(20, ge=1, description="Items in each account's list.")
    max_per_category: int = Field(8, ge=1, description="Items of one category in a list.")
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="How much a category new to a list counts against relevance (MMR); 0: relevance alone.",
    )
    max_impressions: int = Field(
        10, ge=1, description="An item shown this often to a person in four weeks, and never taken, is held back."
    )
    exploration: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the personalised lists whose last place goes to an item from below the list. 0: none.",
    )
    min_list_length: int = Field(
        10, ge=1, description="A list of fewer items is short, where the platform can show the account more."
    )
    max_short_lists: float = Field(
        0.05, ge=0, le=1, description="The night stops where the lists of more of the accounts than this are short."
    )
    max_lists_lost: float = Field(
        0.05,
        ge=0,
        le=1,
        description="The night stops where more of the active accounts than this have a list now and would have none.",
    )
    scoring_shards: int = Field(
        2,
        ge=1,
        description="Shards of persons scored as separate Airflow tasks. Popular lists are ranked in as many parts.",
    )

    # --- the machine
    duckdb_memory_limit: str = Field(
        default_factory=lambda: f"{max(1000, machine.memory() // 4_000_000)}MB",
        description="Memory DuckDB may take before it spills to disk. Not set: a quarter of the machine's or the container's,"
        " at least 1000MB.",
    )
    threads: int = Field(
        default_factory=machine.cores,
        ge=1,
        description="Threads for DuckDB and TensorFlow. Not set: the machine's cores.",
    )

    @field_validator("home", "warehouse", "demo", "dbt_project")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """A night's processes run in other folders than the command that starts them."""
        return path and path.absolute()

    def environment(self) -> dict[str, str]:
        """Environment variables that give these settings again; secrets and what is not set are left out."""
        values = self.model_dump(mode="json", exclude={"token_key"}, exclude_none=True)
        return {
            f"CROSSREC_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
            for name, value in values.items()
        }

    def tensorflow_environment(self) -> dict[str, str]:
        """What TensorFlow reads when it is imported; the last digits of its sums depend on it."""
        return {
            "TF_ENABLE_ONEDNN_OPTS": "0",  # oneDNN's sums differ from run to run with the number of free cores
            "TF_NUM_INTRAOP_THREADS": str(self.threads),
            "TF_NUM_INTEROP_THREADS": "1",
        }

    @cached_property
    def lake_uri(self) -> str:
        """Lake root as a local path or an ``s3://`` URI, without a trailing slash."""
        return (self.lake or str(self.home / "lake")).rstrip("/")

    @cached_property
    def warehouse_path(self) -> Path:
        return self.warehouse or self.home / "warehouse.duckdb"

    @cached_property
    def demo_path(self) -> Path:
        return self.demo or self.home / "demo"

    @cached_property
    def mlflow_uri(self) -> str:
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow' / 'mlflow.db'}"

    @cached_property
    def uses_demo_token_key(self) -> bool:
        return self.token_key.get_secret_value() == DEMO_TOKEN_KEY

    @cached_property
    def mlflow_name(self) -> str:
        """The tracking URI without user and password, fit to be shown."""
        return re.sub(r"//[^/@]*@", "//", self.mlflow_uri)


def settings_page() -> str:
    """docs/settings.md: every setting with its default and meaning."""
    lines = [
        "# Settings",
        "",
        "Generated by `make docs` from `infra/settings.py`. Every setting is an environment variable; none needs to be set.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        shown = f"`{default}`" if default not in (None, "") else "empty"
        if isinstance(default, Path):
            shown = f"`{default.relative_to(PROJECT_ROOT)}`"
        if field.default_factory:
            shown = "by the machine"
        lines.append(f"| `CROSSREC_{name.upper()}` | {shown} | {field.description} |")
    lines += [
        "",
        "The connection of a platform is an environment variable too; its name stands in the platform's declaration",
        "(`connection:` in `dbt_project/models/staging/<platform>/_<platform>__sources.yml`).",
        "",
    ]
    return "\n".join(lines)
