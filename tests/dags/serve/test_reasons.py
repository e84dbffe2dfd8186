"""What a reason says, and that it never names what a platform keeps to itself: on a warehouse small enough to read."""

import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
from dags.steps.serve.reasons import with_reasons

from dags.steps.night import Night
from infra.excluded_sources import write_excluded
from infra.lake import open_lake
from infra.platforms import Platform
from infra.settings import Settings
from infra.warehouse import connect

AS_OF = date(2000, 12, 15)

# P1 has an account on each platform; takes on each lead to the same items, those on the shop the most
WAREHOUSE = {
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
        as_of,platform,item_id,events_28d,events,product_events,days_on_offer
        2000-12-15,shop,X,3,3,3,90
        2000-12-15,shop,Y,2,2,2,90
        2000-12-15,shop,Z,0,0,1,90
        2000-12-15,shop,W,0,0,0,9
        2000-12-15,shop,V,0,0,0,90
    """,
    "marts.segment_popularity": """
        as_of,segment,product_id,events_7d,events_28d
        2000-12-15,18-24,X,1,1
        2000-12-15,25-34,Y,1,1
        2000-12-15,18-24,Z,0,1
    """,
    "marts.person_accounts": """
        platform,account_id,person_id,age_band
        forum,a1,P1,25-34
        shop,a1,P1,18-24
        stream,a1,P1,25-34
        shop,a2,P2,18-24
    """,
}
NOBODY: dict[str, object] = {"forum": [], "shop": [], "stream": []}


def reasons(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    lists: list[str],
    proposals: list[str] | None = None,
    shares: dict[str, object] | None = None,
) -> list[str]:
    """The reasons of ``lists`` ("platform item category strategy slot"), where ``proposals`` ("item generator position")
    were made on every platform and ``shares`` is each platform's policy."""
    settings = Settings(home=tmp_path)
    monkeypatch.setattr(
        Night, "platforms", {name: platform(name, policy) for name, policy in (shares or NOBODY).items()}
    )
    made = [proposal.split() for proposal in proposals or []]
    sources = [
        {
            "as_of": AS_OF,
            "person_id": "P1",
            "platform": name,
            "item_id": item,
            "generator": generator,
            "position": int(at),
        }
        for name in NOBODY
        for item, generator, at in made
    ]
    # what was proposed a week ago explains nothing of tonight
    sources += [source | {"as_of": date(2000, 12, 8), "generator": "trending", "position": 1} for source in sources]
    kinds = {"as_of": pa.date32(), "position": pa.int64()}
    schema = pa.schema(
        [
            (name, kinds.get(name, pa.string()))
            for name in ("as_of", "person_id", "platform", "item_id", "generator", "position")
        ]
    )
    with connect(settings, read_only=False) as warehouse:
        warehouse.execute("create schema marts; create schema seeds")
        for name, text in WAREHOUSE.items():
            lines = "\n".join(line.strip() for line in text.strip().splitlines())
            warehouse.register("rows", pa.csv.read_csv(io.BytesIO(lines.encode())))
            warehouse.execute(f"create table {name} as from rows")
        warehouse.register("rows", pa.Table.from_pylist(sources, schema))
        warehouse.execute("create table marts.candidate_sources as from rows")
    told = [row.split() for row in lists]
    names = ("platform", "item_id", "category", "strategy", "slot")
    table = pa.table({name: [row[number] for row in told] for number, name in enumerate(names)})
    people = [("a2", "P2") if kind == "popular" else ("a1", "P1") for kind in table["strategy"].to_pylist()]
    table = table.append_column("product_id", table["item_id"])
    table = table.append_column("account_id", pa.array([account for account, _ in people]))
    table = table.append_column("person_id", pa.array([person for _, person in people]))
    table = table.append_column("rank", pa.array(range(1, len(told) + 1), pa.int32()))
    table = table.append_column("reason", pa.nulls(len(told), pa.string()))
    reasoned = with_reasons(Night(AS_OF, settings=settings), table)
    assert reasoned.schema == table.schema
    found = dict(zip(reasoned["rank"].to_pylist(), reasoned["reason"].to_pylist(), strict=True))
    return [found[rank] for rank in table["rank"].to_pylist()]


def platform(name: str, shares: object) -> Platform:
    table = {"name": "t", "key": ["id"], "columns": [{"name": "id"}]}
    return Platform.model_validate(
        {"name": name, "connection": "CROSSREC_URL", "shares_reasons_with": shares, "tables": [table]}
    )


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
def test_the_take_that_counts_most_is_named_where_its_platform_allows(
    tmp_path, monkeypatch, shares, on_forum, on_shop, on_stream
) -> None:
    """A skip is nobody's reason, however much it leads to."""
    lists = [f"{name} X drama personalised ranked" for name in ("forum", "shop", "stream")]
    found = reasons(tmp_path, monkeypatch, lists, ["X ease 1"], shares)
    assert found == [on_forum, on_shop, on_stream]


def test_a_source_that_was_dropped_for_a_platform_is_no_reason_there(tmp_path, monkeypatch) -> None:
    write_excluded(open_lake(Settings(home=tmp_path)), {"stream": ["shop"]})
    lists = [f"{name} X drama personalised ranked" for name in ("forum", "stream")]
    assert reasons(tmp_path, monkeypatch, lists, ["X ease 1"], dict.fromkeys(NOBODY, "all")) == [
        "because you bought Brazil on shop",
        'because you rated Amélie, "the" 100% film on forum',
    ]


def test_where_all_that_leads_to_an_item_is_forbidden_the_reason_is_silent(tmp_path, monkeypatch) -> None:
    lists = [f"{name} Y drama personalised ranked" for name in ("forum", "shop", "stream")]
    found = reasons(tmp_path, monkeypatch, lists, ["Y ease 1", "Y trending 40", "X trending 1"])
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
def test_each_generator_weighs_takes_in_its_own_way(tmp_path, monkeypatch, item, generator, words) -> None:
    shares = dict.fromkeys(NOBODY, "all")
    found = reasons(
        tmp_path, monkeypatch, [f"stream {item} drama personalised ranked"], [f"{item} {generator} 1"], shares
    )
    assert found == [words]


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        (NOBODY, {"forum": [], "shop": ["crime"], "stream": ["war"]}),
        (NOBODY | {"shop": ["forum"]}, {"forum": ["crime"], "shop": ["crime"], "stream": ["war"]}),
    ],
)
def test_a_taste_is_named_where_a_take_in_it_may_be(tmp_path, monkeypatch, shares, told) -> None:
    """A skipped comedy is no taste for comedies."""
    cases = [(name, category) for name in told for category in ("crime", "war", "comedy")]
    lists = [f"{name} {category} {category} personalised ranked" for name, category in cases]
    found = reasons(
        tmp_path, monkeypatch, lists, [f"{name} category_taste 1" for name in ("crime", "war", "comedy")], shares
    )
    assert found == [
        f"because you like the category {category}" if category in told[name] else "because of what you like"
        for name, category in cases
    ]


def test_the_words_of_the_other_generators(tmp_path, monkeypatch) -> None:
    proposals = ["A trending 1", "B popular 1", "C new_items 1", "D of_tomorrow 1"]
    lists = [f"shop {item} drama personalised ranked" for item in "ABCDE"]
    assert reasons(tmp_path, monkeypatch, lists, proposals) == [
        "trending on shop this week",
        "popular across platforms",
        "new on shop",
        "because of what you like",
        "because of what you like",
    ]


def test_an_age_is_told_only_to_the_account_that_states_it(tmp_path, monkeypatch) -> None:
    """The person is taken for 18 to 24, as the shop's account says; the forum's says another age, of which nobody took X."""
    lists = [
        f"{name} {item} drama personalised ranked" for name, item in [("shop", "X"), ("shop", "Z"), ("forum", "X")]
    ]
    proposals = ["X segment_trending 1", "Z segment_trending 2"]
    assert reasons(tmp_path, monkeypatch, lists, proposals) == [
        "trending with people your age",
        "trending this week",  # nobody of that age took Z in the last week
        "trending this week",
    ]


def test_an_item_is_explained_by_the_generator_of_whose_proposals_the_fewest_rank_above_it(
    tmp_path, monkeypatch
) -> None:
    """As a share of them: a third for the second of three and the third of six. Of equals, a history says more."""
    ease = [f"{item} ease {place}" for place, item in enumerate("YXZ", start=1)]
    trending = [f"{item} trending {place}" for place, item in enumerate("YAXZBC", start=1)]
    lists = [f"shop {item} drama personalised ranked" for item in "YXZ"]
    assert reasons(tmp_path, monkeypatch, lists, [*ease, *trending]) == [
        "because you bought Brazil (DVD) on shop",
        "because you bought Brazil (DVD) on shop",
        "trending on shop this week",
    ]


def test_a_generator_that_can_say_nothing_explains_only_what_no_other_proposed(tmp_path, monkeypatch) -> None:
    proposals = ["X towers 1", "Y ease 1", "X ease 2", "Y towers 2", "A towers 3"]
    lists = [f"shop {item} drama personalised ranked" for item in "XA"]
    assert reasons(tmp_path, monkeypatch, lists, proposals) == [
        "because you bought Brazil (DVD) on shop",
        "because of what you like",
    ]


def test_what_is_taken_again_is_explained_by_how_often_the_person_took_it_there(tmp_path, monkeypatch) -> None:
    """By the verb that says it most often, as known at the cut; takes elsewhere count nothing, however often they were."""
    lists = ["shop COFFEE drinks personalised ranked", "shop BOUGHT crime personalised ranked"]
    lists += ["shop COFFEE drinks personalised explored", "shop COFFEE drinks personalised pinned"]
    found = reasons(
        tmp_path, monkeypatch, lists, ["COFFEE repeats 1", "BOUGHT repeats 2"], dict.fromkeys(NOBODY, "all")
    )
    assert found == [
        "because you bought it 2 times",
        "because you bought it before",
        "because you bought it 2 times",
        "chosen by the editors",
    ]


def test_places_that_nobody_ranked_say_so(tmp_path, monkeypatch) -> None:
    lists = ["shop X drama personalised pinned", "shop Y drama personalised explored", "shop X drama popular pinned"]
    found = reasons(tmp_path, monkeypatch, lists, ["X ease 1", "Y ease 2"])
    assert found == ["chosen by the editors", "something different for you", "chosen by the editors"]


def test_a_popular_list_says_by_what_it_is_ordered(tmp_path, monkeypatch) -> None:
    """By the segment of this very account, then the platform, then all platforms, then the newest."""
    found = reasons(tmp_path, monkeypatch, [f"shop {item} drama popular ranked" for item in "XYZWV"])
    assert found == [
        "popular with people your age",
        "popular on shop",
        "popular across platforms",
        "new on shop",
        "available on shop",
    ]
