"""A source table as DuckDB sees it, whatever technology it lives in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A query for all columns of the source, ``_unreadable`` (VARCHAR) and ``_file_date`` (TIMESTAMP).

    ``types`` are the source's own by column; ``as_text`` says that all columns arrive as VARCHAR nevertheless;
    ``in_order`` that the rows come in an order of their own, which holds.
    """

    query: str
    types: dict[str, str]
    as_text: bool
    in_order: bool


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
