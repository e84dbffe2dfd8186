"""Kinds of corruptions as SQL over ``rows``: what may happen to any column, and to tables of events, accounts and items.

Names in braces are roles of columns, see `tests.bench.corruptions.Sheet`.
"""

Kinds = dict[str, tuple[str, str]]  # kind: (roles that the table must have, statement)

# what may happen to a column, whatever it means. {c} is the column, {share} the share of rows.
COLUMN_KINDS = {
    "null": "update rows set {c} = null where draw < {share}",
    "constant": "update rows set {c} = (select min({c}) from rows) where draw < {share}",
    # the next row's value, in an order by chance: the values stay as they are, and belong to others
    "shuffled": (
        "update rows set {c} = moved.value from (select number, lead({c}, 1, (select first({c} order by draw) from rows)) "
        "over (order by draw) as value from rows) as moved where moved.number = rows.number and draw < {share}"
    ),
}
# every row of one value gets another value's, the same one: whatever is counted stays as it is
PERMUTED = (
    "update rows set {c} = others.other from (select one, coalesce(lead(one) over by_chance, first(one) over by_chance) as other "
    "from (select distinct {c} as one from rows where {c} is not null) window by_chance as (order by hash(one))) as others "
    "where others.one = rows.{c}"
)
EVENTS: Kinds = {
    "accounts unknown": ("account", "update rows set {account} = '9' || {account} || '7'"),
    "items unknown": ("item", "update rows set {item} = '9' || {item} || '7'"),
    "account ids in capitals": ("account", "update rows set {account} = upper({account})"),
    "account ids with .0": ("account", "update rows set {account} = {account} || '.0'"),
    "item ids with leading zeros": ("item", "update rows set {item} = '000' || {item}"),
    "values in percent": ("value", "update rows set {value} = cast({value} as double) * 100"),
    "values a hundredth": ("value", "update rows set {value} = cast({value} as double) / 100"),
    "values halved": ("value", "update rows set {value} = cast({value} as double) / 2"),
    "values upside down": (
        "value",
        "update rows set {value} = (select max(cast({value} as double)) from rows) - cast({value} as double)",
    ),
    "types in capitals": ("type", "update rows set {type} = upper({type})"),
    "a third of a new type": ("type", "update rows set {type} = 'liked' where draw < 0.33"),
    "a third of another known type": ("type", "update rows set {type} = 'view' where draw < 0.33"),
    "clock five hours ahead": ("time", "update rows set {time} = moved({time}, interval 5 hours)"),
    "clock five hours behind": ("time", "update rows set {time} = moved({time}, interval (-5) hours)"),
    "times three days ahead": ("time", "update rows set {time} = moved({time}, interval 3 days)"),
    "times a year behind": ("time", "update rows set {time} = moved({time}, interval (-365) days)"),
    "dates without times": (
        "time",
        "update rows set {time} = moved(left({time}, 10) || ' 00:00:00', interval 0 hours)",
    ),
    "times as seconds since 1970": (
        "time",
        "update rows set {time} = cast(epoch(cast(left({time}, 19) as timestamp)) as bigint)",
    ),
    "half of the load": ("id", "delete from rows where draw < 0.5"),
    "a tenth of the load": ("id", "delete from rows where draw < 0.9"),
    "an empty load": ("id", "delete from rows"),
    "every row twice": ("id", "insert into rows from rows"),
    "every row again under new ids": (
        "id",
        "insert into rows select * replace ({id} || 'b' as {id}) from rows",
    ),
    "last week again under new ids": (
        "id",
        "insert into rows select * replace ({id} || 'r' as {id}) from earlier where days_ago between 1 and 7",
    ),
    "last month again under the same ids": ("id", "insert into rows from earlier where days_ago between 1 and 30"),
    "one robot with a thousand events": (
        "account item",
        "insert into rows select rows.* replace (rows.{id} || 'x' || n as {id}, (select min({account}) from rows) as {account}) "
        "from rows, range(1000) as numbers(n) where rows.number = (select min(number) from rows)",
    ),
    "every account on one item": (
        "item",
        "insert into rows select * replace ({id} || 'f' as {id}, (select min({item}) from rows) as {item}) from rows",
    ),
    "items of another platform": (
        "item",
        "update rows set {item} = 'DVD-' || lpad(cast(hash({item}) % 4000 as varchar), 7, '0')",
    ),
    "accounts and items swapped": ("account item", "update rows set {account} = {item}, {item} = {account}"),
    "account ids permuted": ("account", PERMUTED.format(c="{account}")),
    "item ids permuted": ("item", PERMUTED.format(c="{item}")),
    "values as text with a comma": (
        "value",
        "update rows set {value} = replace(printf('%.2f', cast({value} as double)), '.', ',')",
    ),
    "all of a new type": ("type", "update rows set {type} = 'liked'"),
    "rows of another platform": (
        "account item",
        "update rows set {account} = 'C' || lpad(cast(hash({account}) % 2000 as varchar), 6, '0'), "
        "{item} = 'DVD-' || lpad(cast(hash({item}) % 4000 as varchar), 7, '0')",
    ),
}
ACCOUNTS: Kinds = {
    "genders flipped": (
        "gender",
        "update rows set {gender} = case when {gender} in ('male', 'M', 'man') then 'woman' else 'man' end",
    ),
    "genders as numbers": (
        "gender",
        "update rows set {gender} = case when {gender} in ('male', 'M', 'man') then '1' else '2' end",
    ),
    "ages as numbers of bands": ("age", "update rows set {age} = cast(hash({age}) % 7 as varchar)"),
    "one e-mail for all": ("mail", "update rows set {mail} = 'noreply@example.com'"),
    "e-mail addresses masked": ("mail", "update rows set {mail} = left({mail}, 1) || '***'"),
    "phones with another country": ("phone", "update rows set {phone} = '+1' || right({phone}, 9)"),
    "account ids reformatted": ("account", "update rows set {account} = '00' || {account} || '.0'"),
    "everybody signed up tonight": ("created", "update rows set {created} = moved(night_text(), interval (-1) hours)"),
    "all deleted": ("status", "update rows set {status} = 'deleted'"),
    "ids given to other people": (
        "mail",
        "update rows set {mail} = moved.mail, {age} = moved.age, {gender} = moved.gender, {phone} = moved.phone from (select number, "
        "lead({mail}, 1, {mail}) over (order by draw) as mail, lead({age}, 1, {age}) over (order by draw) as age, "
        "lead({gender}, 1, {gender}) over (order by draw) as gender, lead({phone}, 1, {phone}) over (order by draw) as phone "
        "from rows) as moved where moved.number = rows.number",
    ),
    "account ids permuted": ("account", PERMUTED.format(c="{account}")),
    "a third deleted": ("status", "update rows set {status} = 'deleted' where draw < 0.3"),
}
ITEMS: Kinds = {
    "titles poisoned": ("title", "update rows set {title} = 'BUY NOW www.example.com ' || {title}"),
    "titles with broken letters": (
        "title",
        "update rows set {title} = translate({title}, 'aeiou', '\u00c3\u00a9\u00c2\u00a8\u00bf')",
    ),
    "titles in capitals": ("title", "update rows set {title} = upper({title})"),
    "categories of another language": (
        "categories",
        "update rows set {categories} = translate({categories}, 'aeio', 'oiea')",
    ),
    "categories with another separator": (
        "categories",
        "update rows set {categories} = regexp_replace({categories}, '[|;,]', '/', 'g')",
    ),
    "prices in cents": ("price", "update rows set {price} = cast({price} as double) * 100"),
    "prices zero": ("price", "update rows set {price} = 0"),
    "nothing available": ("available", "update rows set {available} = 0"),
    "everything available": ("available", "update rows set {available} = 1"),
    "years in two digits": ("year", "update rows set {year} = cast({year} as integer) % 100"),
    "item ids reformatted": ("item", "update rows set {item} = '00' || {item}"),
    "ids given to other items": (
        "title",
        "update rows set {title} = moved.title, {categories} = moved.categories from (select number, lead({title}, 1, "
        "{title}) over (order by draw) as title, lead({categories}, 1, {categories}) over (order by draw) as categories "
        "from rows) as moved where moved.number = rows.number",
    ),
    "everything listed tonight": ("created", "update rows set {created} = moved(night_text(), interval (-1) hours)"),
    "a tenth of the titles is one title": (
        "title",
        "update rows set {title} = (select min({title}) from rows) where draw < 0.1",
    ),
    "availability upside down": (
        "available",
        "update rows set {available} = case when lower({available}) in ('1', 'true') then 0 else 1 end",
    ),
    "prices as text with a comma": (
        "price",
        "update rows set {price} = replace(printf('%.2f', cast({price} as double)), '.', ',')",
    ),
    "item ids permuted": ("item", PERMUTED.format(c="{item}")),
}
