"""A source table as DuckDB sees it, whatever technology it lives in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Relation:
    """A query for the declared columns of the source, ``_file`` and ``_record`` (null in databases), ``_visible_at`` (what the name of
    the file says, TIMESTAMP), and ``_unreadable`` (why a row has no values, VARCHAR).

    ``types`` are the source's own by column; ``undeclared`` is how many columns of the source nobody declared.
    """

    query: str
    types: dict[str, str]
    undeclared: int


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
