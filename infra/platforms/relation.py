"""A source table as DuckDB sees it, whatever technology it lives in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A query for the declared columns of the source, ``_file`` and ``_record`` (null in databases), ``_visible_at`` (what the name of
    the file says, TIMESTAMP), and ``_unreadable`` (why a row has no values, VARCHAR).

    ``types`` are the source's own by column; ``as_text`` says that all columns arrive as VARCHAR nevertheless; ``in_order`` that the
    rows have an order of their own, by file and record; ``undeclared`` how many columns of the source nobody declared.
    """

    query: str
    types: dict[str, str]
    as_text: bool
    in_order: bool
    undeclared: int = 0


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
