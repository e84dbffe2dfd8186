"""What a reason says, and that it never names what a platform keeps to itself: on a warehouse small enough to read."""

import io
from collections.abc import Iterable
from datetime import date
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.csv
import pytest

from infra.excluded_sources import SCHEMA as EXCLUDED_SOURCES
from infra.platforms import Platform
from infra.warehouse import DBT_PROJECT
from ml.ranking.shards import RANKED
from tests.compiled import create_views

AS_OF = date(2000, 12, 15)
NULLS = pyarrow.csv.ConvertOptions(strings_can_be_null=True)

# P1 has an account on each platform; takes on each lead to the same items, those on the shop the most
WAREHOUSE = {
    "marts.snapshots": """
        as_of,role
        2000-12-15,scoring
        2000-12-08,evaluation
    """,
    "seeds.event_types": """
        event_type,verb
        rate,rated
        purchase,bought
        watch,watched
        skip,skipped
    """,
    "marts.product_items": """
        platform,item_id,product_id,title
        forum,f1,RATED,"Amélie, ""the"" 100% film"
        shop,s1,RATED,Le Fabuleux Destin d'Amélie
        forum,f2,BOUGHT,Brazil
        shop,s2,BOUGHT,Brazil (DVD)
        stream,v2,BOUGHT,Brazil (1985)
        stream,v3,WATCHED,Casablanca
        stream,v4,SKIPPED,Dogma
    """,
    "marts.interactions": """
        person_id,product_id,platform,event_id,category,event_type,is_positive,occurred_at,known_at,superseded_at
        P1,RATED,forum,e1,drama,rate,true,2000-12-01 00:00:00,2000-12-01 00:00:00,
        P1,BOUGHT,shop,e2,crime,purchase,true,2000-12-10 00:00:00,2000-12-10 00:00:00,
        P1,WATCHED,stream,e3,war,watch,true,2000-12-05 00:00:00,2000-12-05 00:00:00,
        P1,SKIPPED,stream,e4,comedy,skip,false,2000-12-12 00:00:00,2000-12-12 00:00:00,
        P1,BOUGHT,forum,e5,crime,rate,true,2000-12-09 00:00:00,2000-12-15 00:00:00,
        P1,BOUGHT,forum,e6,crime,rate,true,2000-12-09 00:00:00,2000-12-09 00:00:00,2000-12-11 00:00:00
        P1,COFFEE,shop,e7,drinks,rate,true,2000-12-11 00:00:00,2000-12-11 00:00:00,
        P1,COFFEE,shop,e8,drinks,purchase,true,2000-12-02 00:00:00,2000-12-02 00:00:00,
        P1,COFFEE,shop,e9,drinks,purchase,true,2000-12-09 00:00:00,2000-12-09 00:00:00,
        P1,COFFEE,shop,e10,drinks,purchase,true,2000-12-12 00:00:00,2000-12-15 00:00:00,
        P1,COFFEE,forum,e11,drinks,rate,true,2000-12-11 00:00:00,2000-12-11 00:00:00,
        P1,COFFEE,forum,e12,drinks,rate,true,2000-12-12 00:00:00,2000-12-12 00:00:00,
        P1,COFFEE,forum,e13,drinks,rate,true,2000-12-13 00:00:00,2000-12-13 00:00:00,
        P2,COFFEE,shop,e14,drinks,purchase,true,2000-12-09 00:00:00,2000-12-09 00:00:00,
    """,
    "marts.person_history": """
        as_of,person_id,product_id,occurred_at,weight,position
        2000-12-15,P1,SKIPPED,2000-12-12 00:00:00,0,1
        2000-12-15,P1,BOUGHT,2000-12-10 00:00:00,1,2
        2000-12-15,P1,WATCHED,2000-12-05 00:00:00,1,3
        2000-12-15,P1,RATED,2000-12-01 00:00:00,1,4
    """,
    "marts.item_similarity": """
        as_of,generator,product_id,neighbour_id,weight
        2000-12-15,ease,SKIPPED,X,0.9
        2000-12-15,ease,BOUGHT,X,0.8
        2000-12-15,ease,WATCHED,X,0.2
        2000-12-15,ease,RATED,X,0.3
        2000-12-15,ease,BOUGHT,Y,0.8
        2000-12-15,ease,RATED,V,0.3
        2000-12-15,ease,WATCHED,V,0.28
        2000-12-08,ease,RATED,Y,0.9
        2000-12-15,graph,RATED,Y,0.3
        2000-12-15,graph,WATCHED,Y,0.28
    """,
    "marts.product_neighbours": """
        as_of,product_id,neighbour_id,similarity
        2000-12-15,RATED,Z,0.5
        2000-12-15,WATCHED,Z,0.5
    """,
    "marts.product_transitions": """
        as_of,product_id,next_product_id,probability
        2000-12-15,RATED,W,0.5
        2000-12-15,WATCHED,W,0.4
    """,
    "marts.item_popularity": """
        as_of,platform,item_id,persons_28d,persons,product_persons,days_on_offer
        2000-12-15,shop,X,3,3,3,90
        2000-12-15,shop,Y,2,2,2,90
        2000-12-15,shop,Z,0,0,1,90
        2000-12-15,shop,W,0,0,0,9
        2000-12-15,shop,V,0,0,0,90
    """,
    "marts.segment_popularity": """
        as_of,segment,product_id,persons_7d,persons_28d
        2000-12-15,18-24,X,1,1
        2000-12-15,25-34,Y,1,1
        2000-12-15,18-24,Z,0,1
    """,
    "marts.person_accounts": """
        platform,account_id,person_id,age_band,created_at
        forum,a1,P1,25-34,2000-01-01 00:00:00
        shop,a1,P1,18-24,2000-01-01 00:00:00
        stream,a1,P1,25-34,2000-01-01 00:00:00
        shop,a2,P2,18-24,2000-01-01 00:00:00
    """,
}
NOBODY: dict[str, object] = {"forum": [], "shop": [], "stream": []}
MODELS = (
    *("reason_platforms", "list_rows", "list_generators", "list_contributions", "nameable_interactions"),
    *("item_reasons", "recommendations"),
)


def reasons(
    lists: list[str],
    proposals: list[str] | None = None,
    shares: dict[str, object] | None = None,
    excluded: Iterable[tuple[str, str]] = (),
) -> list[str]:
    """The reasons of ``lists`` ("platform item category strategy slot"), where ``proposals`` ("item generator position")
    were made on every platform, ``shares`` is each platform's policy and the lists of a target do without an ``excluded``
    (target, source)."""
    ranked = []
    for rank, row in enumerate(lists, start=1):
        platform, item, category, strategy, slot = row.split()
        popular = strategy == "popular"
        ranked.append(
            {"person_id": None if popular else "P1", "account_id": "a2" if popular else None, "platform": platform}
            | {"item_id": item, "product_id": item, "category": category, "strategy": strategy, "slot": slot}
            | {"rank": rank, "score": 0.5, "propensity": 1.0, "model_version": None if popular else "1"}
        )
    with duckdb.connect() as warehouse:
        warehouse.execute("create schema marts; create schema seeds; create schema ranking")
        for name, text in WAREHOUSE.items():
            lines = "\n".join(line.strip() for line in text.strip().splitlines())
            create(warehouse, name, pa.csv.read_csv(io.BytesIO(lines.encode())))
        create(
            warehouse,
            "seeds.generators",
            pa.csv.read_csv(DBT_PROJECT / "seeds" / "generators.csv", convert_options=NULLS),
        )
        create(warehouse, "marts.candidate_sources", candidate_sources(proposals or []))
        create(warehouse, "ranking.ranked", pa.Table.from_pylist(ranked, RANKED))
        pairs = [{"target": target, "source": source} for target, source in excluded]
        create(warehouse, "ranking.excluded_sources", pa.Table.from_pylist(pairs, EXCLUDED_SOURCES))
        create_views(warehouse, *MODELS, sources=declared(shares or NOBODY))
        return [
            reason
            for (reason,) in warehouse.execute("select reason from marts.recommendations order by rank").fetchall()
        ]


def create(warehouse: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    warehouse.register("rows", rows)
    warehouse.execute(f"create table {name} as from rows")


def candidate_sources(proposals: list[str]) -> pa.Table:
    """What was proposed tonight; and a week ago, which explains nothing of tonight."""
    made = [proposal.split() for proposal in proposals]
    columns = ["person_id", "platform", "item_id", "generator", "position"]
    tonight = [("P1", name, item, generator, int(at)) for name in NOBODY for item, generator, at in made]
    before = [("P1", name, item, "trending", 1) for name in NOBODY for item, _, _ in made]
    rows = [dict(zip(columns, row, strict=True)) | {"as_of": AS_OF} for row in tonight]
    rows += [dict(zip(columns, row, strict=True)) | {"as_of": date(2000, 12, 8)} for row in before]
    kinds = {"as_of": pa.date32(), "position": pa.int64()}
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in ["as_of", *columns]]))


def declared(shares: dict[str, object]) -> dict[str, object]:
    """The platforms' sources as dbt knows them; each is a declaration that crossrec reads as well."""
    sources: dict[str, object] = {"identity": SimpleNamespace(source_name="identity", source_meta={})}
    for name, policy in shares.items():
        table = {"name": "t", "key": ["id"], "columns": [{"name": "id"}]}
        meta = {"connection": "CROSSREC_URL", "shares_reasons_with": policy}
        Platform.model_validate({"name": name, "tables": [table], **meta})
        sources[name] = SimpleNamespace(source_name=name, source_meta=meta)
    return sources


@pytest.mark.parametrize(
    ("shares", "on_forum", "on_shop", "on_stream"),
    [
        # each platform knows its own best, and the shop's and the forum's names of films are not the stream's
        (
            NOBODY,
            'because you rated Amélie, "the" 100% film on forum',
            "because you bought Brazil (DVD) on shop",
            "because you watched Casablanca on stream",
        ),
        # what leads to it most is named by the target's own name for it
        (
            NOBODY | {"shop": "all"},
            "because you bought Brazil on shop",
            "because you bought Brazil (DVD) on shop",
            "because you bought Brazil (1985) on shop",
        ),
        # the next best where the best is forbidden, and the other's name where the target has none
        (
            {"forum": ["stream"], "shop": "none", "stream": "none"},
            'because you rated Amélie, "the" 100% film on forum',
            "because you bought Brazil (DVD) on shop",
            'because you rated Amélie, "the" 100% film on forum',
        ),
    ],
)
def test_the_take_that_counts_most_is_named_where_its_platform_allows(shares, on_forum, on_shop, on_stream) -> None:
    """A skip is nobody's reason, however much it leads to."""
    lists = [f"{name} X drama personalised ranked" for name in ("forum", "shop", "stream")]
    found = reasons(lists, ["X ease 1"], shares)
    assert found == [on_forum, on_shop, on_stream]


def test_a_source_that_is_excluded_for_a_platform_is_no_reason_there() -> None:
    lists = [f"{name} X drama personalised ranked" for name in ("forum", "stream")]
    assert reasons(lists, ["X ease 1"], dict.fromkeys(NOBODY, "all"), [("stream", "shop")]) == [
        "because you bought Brazil on shop",
        'because you rated Amélie, "the" 100% film on forum',
    ]


def test_where_all_that_leads_to_an_item_is_forbidden_the_reason_is_silent() -> None:
    lists = [f"{name} Y drama personalised ranked" for name in ("forum", "shop", "stream")]
    found = reasons(lists, ["Y ease 1", "Y trending 40", "X trending 1"])
    assert found == ["because of what you like", "because you bought Brazil (DVD) on shop", "because of what you like"]


@pytest.mark.parametrize(
    ("item", "generator", "words"),
    [
        # each of these would be the film rated, were it not older: half of 0.3 is less than 0.61 of 0.28
        ("V", "ease", "because you watched Casablanca on stream"),
        ("Y", "graph", "because you watched Casablanca on stream"),
        # a place further down counts 5% less
        ("Z", "neighbours", "because you watched Casablanca on stream"),
        # 0.4 of the third is more than 0.5 of the fourth
        ("W", "transitions", "because you watched Casablanca on stream"),
    ],
)
def test_each_generator_weighs_takes_in_its_own_way(item, generator, words) -> None:
    shares = dict.fromkeys(NOBODY, "all")
    found = reasons([f"stream {item} drama personalised ranked"], [f"{item} {generator} 1"], shares)
    assert found == [words]


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (NOBODY, {"forum": [], "shop": ["crime"], "stream": ["war"]}),
        (NOBODY | {"shop": ["forum"]}, {"forum": ["crime"], "shop": ["crime"], "stream": ["war"]}),
    ],
)
def test_a_taste_is_named_where_a_take_in_it_may_be(shares, told) -> None:
    """A skipped comedy is no taste for comedies."""
    cases = [(name, category) for name in told for category in ("crime", "war", "comedy")]
    lists = [f"{name} {category} {category} personalised ranked" for name, category in cases]
    found = reasons(lists, [f"{name} category_taste 1" for name in ("crime", "war", "comedy")], shares)
    assert found == [
        f"because you like the category {category}" if category in told[name] else "because of what you like"
        for name, category in cases
    ]


def test_the_words_of_the_other_generators() -> None:
    proposals = ["A trending 1", "B popular 1", "C new_items 1", "D of_tomorrow 1"]
    lists = [f"shop {item} drama personalised ranked" for item in "ABCDE"]
    assert reasons(lists, proposals) == [
        "trending on shop this week",
        "popular across platforms",
        "new on shop",
        "because of what you like",
        "because of what you like",
    ]


def test_an_age_is_told_only_to_the_account_that_states_it() -> None:
    """The person is taken for 18 to 24, as the shop's account says; the forum's says another age, of which nobody took X."""
    lists = [
        f"{name} {item} drama personalised ranked" for name, item in [("shop", "X"), ("shop", "Z"), ("forum", "X")]
    ]
    proposals = ["X segment_trending 1", "Z segment_trending 2"]
    assert reasons(lists, proposals) == [
        "trending with people your age",
        "trending this week",  # nobody of that age took Z in the last week
        "trending this week",
    ]


def test_an_item_is_explained_by_the_generator_of_whose_proposals_the_fewest_rank_above_it() -> None:
    """As a share of them: a third for the second of three and the third of six. Of equals, a history says more."""
    ease = [f"{item} ease {place}" for place, item in enumerate("YXZ", start=1)]
    trending = [f"{item} trending {place}" for place, item in enumerate("YAXZBC", start=1)]
    lists = [f"shop {item} drama personalised ranked" for item in "YXZ"]
    assert reasons(lists, [*ease, *trending]) == [
        "because you bought Brazil (DVD) on shop",
        "because you bought Brazil (DVD) on shop",
        "trending on shop this week",
    ]


def test_a_generator_that_can_say_nothing_explains_only_what_no_other_proposed() -> None:
    proposals = ["X towers 1", "Y ease 1", "X ease 2", "Y towers 2", "A towers 3"]
    lists = [f"shop {item} drama personalised ranked" for item in "XA"]
    assert reasons(lists, proposals) == [
        "because you bought Brazil (DVD) on shop",
        "because of what you like",
    ]


def test_what_is_taken_again_is_explained_by_how_often_the_person_took_it_there() -> None:
    """By the verb that says it most often, as known at the cut; takes elsewhere count nothing, however often they were."""
    lists = ["shop COFFEE drinks personalised ranked", "shop BOUGHT crime personalised ranked"]
    lists += ["shop COFFEE drinks personalised explored", "shop COFFEE drinks personalised pinned"]
    found = reasons(lists, ["COFFEE repeats 1", "BOUGHT repeats 2"], dict.fromkeys(NOBODY, "all"))
    assert found == [
        "because you bought it 2 times",
        "because you bought it before",
        "because you bought it 2 times",
        "chosen by the editors",
    ]


def test_places_that_nobody_ranked_say_so() -> None:
    lists = ["shop X drama personalised pinned", "shop Y drama personalised explored", "shop X drama popular pinned"]
    found = reasons(lists, ["X ease 1", "Y ease 2"])
    assert found == ["chosen by the editors", "something different for you", "chosen by the editors"]


def test_a_popular_list_says_by_what_it_is_ordered() -> None:
    """By the segment of this very account, then the platform, then all platforms, then the newest."""
    found = reasons([f"shop {item} drama popular ranked" for item in "XYZWV"])
    assert found == [
        "popular with people your age",
        "popular on shop",
        "popular across platforms",
        "new on shop",
        "available on shop",
    ]
