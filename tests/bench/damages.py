"""What can go wrong between two steps of a night, as data: which step's work is damaged, and how.

Tables lie in the warehouse. Files lie in the lake, and ``{night}`` in a key is the date of the night. The statements run over a table
of the warehouse, or over ``rows`` where it is a file.
"""

from dataclasses import dataclass
from typing import Literal

from tests.bench.corruptions import Expected


@dataclass(frozen=True)
class Damage:
    """``after`` is the step whose work is damaged as soon as it has run; ``where`` a table with its schema, a key in the lake, or
    a file or alias of the registry (see `tests.bench.damaged`)."""

    kind: str
    after: str
    where: str
    sql: str
    of: Literal["table", "file", "registry"] = "table"
    expected: Expected = "caught"

    @property
    def name(self) -> str:
        return f"{self.where.rpartition('/')[2].removesuffix('.parquet')}: {self.kind}"


# the value of another row by chance, in the same column: {c} is the column, {key} what tells rows apart
MOVED = (
    "create temp table others as select row_number() over (order by hash({key})) as number, {c} as other from {rows}; "
    "create temp table mine as select row_number() over (order by hash({key}, 7)) as place, * from {rows}; "
    "delete from {rows}; insert into {rows} by name select mine.* exclude (place) replace (others.other as {c}) "
    "from mine inner join others on mine.place = others.number"
)
TWICE = "insert into {rows} from {rows}"
HALF = "delete from {rows} where hash({key}) % 2 = 0"


def _table(table: str, after: str, key: str, kinds: dict[str, str]) -> list[Damage]:
    return [Damage(kind, after, table, sql.replace("{key}", key)) for kind, sql in kinds.items()]


def _file(key: str, after: str, kinds: dict[str, str]) -> list[Damage]:
    return [Damage(kind, after, key, sql, "file") for kind, sql in kinds.items()]


TONIGHT = "as_of = (select max(as_of) from {rows})"  # the newest snapshot of a table
IN_BETWEEN = [
    *_table(
        "intermediate.int_events",
        "prepare",
        "event_id",
        {
            "half of the rows gone": HALF,
            "every row twice": TWICE,
            "accounts permuted": MOVED.replace("{c}", "account_id"),
            "items permuted": MOVED.replace("{c}", "item_id"),
            "a month older": "update {rows} set occurred_at = occurred_at - interval 30 days",
            "values a hundred times": "update {rows} set value = value * 100",
            "types of one kind": "update {rows} set event_type = 'view'",
        },
    ),
    *_table(
        "intermediate.int_accounts",
        "prepare",
        "account_id",
        {
            "half of the rows gone": HALF,
            "every row twice": TWICE,
            "all inactive": "update {rows} set is_active = false",
        },
    ),
    *_table(
        "intermediate.int_items",
        "prepare",
        "item_id",
        {
            "half of the rows gone": HALF,
            "titles permuted": MOVED.replace("{c}", "title"),
            "all available": "update {rows} set is_available = true",
        },
    ),
    *_file(
        "identity/as_of={night}/account_persons.parquet",
        "link_people",
        {
            "persons permuted": MOVED.replace("{c}", "person_id").replace("{key}", "account_id"),
            "half of the rows gone": HALF.replace("{key}", "account_id"),
            "a tenth is one person": "update rows set person_id = (select min(person_id) from rows) where hash(account_id) % 10 = 0",
        },
    ),
    *_file(
        "identity/as_of={night}/item_products.parquet",
        "link_products",
        {
            "products permuted": MOVED.replace("{c}", "product_id").replace("{key}", "item_id"),
            "every item its own product": "update rows set product_id = 'product_' || hash(platform, item_id)",
        },
    ),
    *_table(
        "marts.interactions",
        "build_marts",
        "event_id",
        {
            "half of the rows gone": HALF,
            "every row twice": TWICE,
            "persons permuted": MOVED.replace("{c}", "person_id"),
            "a month older": "update {rows} set occurred_at = occurred_at - interval 30 days",
        },
    ),
]
TRAINING = [
    *_table(
        "marts.candidates",
        "build_candidates",
        "person_id, item_id",
        {
            "half of tonight's gone": f"{HALF} and {TONIGHT}",
            "a feature a thousand times, tonight": f"update {{rows}} set item_events_28d = item_events_28d * 1000 where {TONIGHT}",
            "a feature null, tonight": f"update {{rows}} set item_events_28d = null where {TONIGHT}",
        },
    ),
    *_table(
        "marts.training_examples",
        "build_candidates",
        "person_id, platform, item_id",
        {
            "labels permuted": MOVED.replace("{c}", "label"),
            "labels permuted in the newest snapshot": (
                "create temp table moved as select as_of, person_id, platform, item_id, lead(label, 1, 0) over (order by "
                f"hash({{key}})) as other from {{rows}} where {TONIGHT}; update {{rows}} set label = moved.other from moved "
                "where moved.as_of = {rows}.as_of and moved.person_id = {rows}.person_id and moved.platform = {rows}.platform "
                "and moved.item_id = {rows}.item_id"
            ),
            "labels upside down": "update {rows} set label = 1 - label",
            "a feature a thousand times": f"update {{rows}} set item_events_28d = item_events_28d * 1000 where {TONIGHT}",
            "a feature null": f"update {{rows}} set item_events_28d = null where {TONIGHT}",
            "half of the rows gone": f"{HALF} and {TONIGHT}",
            "every row twice": TWICE,
            "no positive": f"delete from {{rows}} where label = 1 and {TONIGHT}",
            "a feature tells the label": f"update {{rows}} set item_trend = label + hash({{key}}) % 100 / 100 where {TONIGHT}",
        },
    ),
]
LIST_KEY = "account_id, item_id"
LISTS = [
    *_file(
        "nights/as_of={night}/ranked/shard=0.parquet",
        "score",
        {
            "scores constant": "update rows set score = 0.5 where score is not null",
            "persons permuted": MOVED.replace("{c}", "person_id").replace("{key}", "person_id, item_id"),
            "items permuted": MOVED.replace("{c}", "item_id").replace("{key}", "person_id, item_id"),
            "half of the rows gone": HALF.replace("{key}", "person_id, item_id"),
            "another version": "update rows set model_version = '999' where model_version is not null",
        },
    ),
    *_file(
        "nights/as_of={night}/lists.parquet",
        "assemble_lists",
        {
            "accounts permuted": MOVED.replace("{c}", "account_id").replace("{key}", LIST_KEY),
            "persons permuted": MOVED.replace("{c}", "person_id").replace("{key}", LIST_KEY),
            "another version": "update rows set model_version = '999'",
            "ids of recommendations twice": "update rows set recommendation_id = (select min(recommendation_id) from rows)",
            "order reversed": "update rows set rank = 21 - rank",
            "scores constant": "update rows set score = 0.5",
            "lists cut to five": "delete from rows where rank > 5",
            "a tenth of the lists gone": "delete from rows where hash(account_id) % 10 = 0",
            "rows twice": TWICE.replace("{rows}", "rows"),
            "another night": "update rows set as_of = as_of - interval 1 day",
            "one item for all": "update rows set item_id = (select min(item_id) from rows as others where platform = rows.platform)",
            "items of another platform": "update rows set item_id = 'DVD-' || right('000' || rank, 6)",
            "an unknown reason": "update rows set reason = 'because we say so'",
            "no reason": "update rows set reason = null where rank = 1",
            "propensities above one": "update rows set propensity = propensity * 2",
            "propensities null": "update rows set propensity = null",
        },
    ),
]
REGISTRY = [
    Damage("bytes of the model swapped", "choose_serving_model", "the serving version", "swap", "registry"),
    Damage("bytes of the model gone", "choose_serving_model", "the serving version", "delete", "registry"),
    Damage("metrics of the challenger inflated", "evaluate", "the evaluation", "inflate", "registry"),
    Damage(
        "alias champion taken away", "choose_serving_model", "the serving version", "unalias", "registry", "harmless"
    ),  # fixed by then
    Damage("record names no version there is", "choose_serving_model", "the serving version", "misname", "registry"),
]


def damages() -> list[Damage]:
    return [*IN_BETWEEN, *TRAINING, *LISTS, *REGISTRY]
