"""How the code is laid out: lines by room, long functions and files, SQL in Python strings, repeated passages."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.bench.measured import ROOT, Measured

ROOMS = ("dags", "dbt_project", "expectations", "infra", "ml")
LONG_FUNCTION, LONG_FILE = 40, 400  # lines
PASSAGE = 6  # lines of code that are the same in two places
STATEMENT = re.compile(r"^\s*(with|select|from|insert|create|delete|update|copy)\b", re.IGNORECASE)
CLAUSE = re.compile(r"\b(select|from|join|where|group by|order by)\b", re.IGNORECASE)


def house(root: Path = ROOT) -> list[Measured]:
    """Every figure about the code that git tracks below ``root``, tests left out but for their own line."""
    files = [path for path in _tracked(root) if path.suffix in (".py", ".sql")]
    own = [path for path in files if path.relative_to(root).parts[0] in ROOMS]
    python = [path for path in own if path.suffix == ".py"]
    rows = [
        Measured(f"lines of code in {room}/", sum(_lines(path) for path in _in(files, root, room)), "lines")
        for room in (*ROOMS, "tests")
    ]
    return [
        *rows,
        Measured(
            f"functions over {LONG_FUNCTION} lines", sum(len(_long_functions(path)) for path in python), "functions"
        ),
        Measured(f"files over {LONG_FILE} lines", sum(_lines(path) > LONG_FILE for path in files), "files"),
        Measured("lines of SQL in Python strings of several lines", sum(map(_sql_lines, python)), "lines"),
        Measured(f"passages of {PASSAGE} lines that stand twice", _repeated(own), "passages"),
    ]


def _tracked(root: Path) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [root / name for name in listed.splitlines() if (root / name).is_file()]


def _in(files: list[Path], root: Path, room: str) -> list[Path]:
    return [path for path in files if path.relative_to(root).parts[0] == room]


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _long_functions(path: Path) -> list[str]:
    return [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONG_FUNCTION
    ]


def _sql_lines(path: Path) -> int:
    """Lines of the string constants that hold a statement of SQL in more than one line; docstrings are prose."""
    tree = ast.parse(path.read_text())
    prose = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return sum(
        len(text.strip().splitlines()) for node, text in _strings(tree) if id(node) not in prose and _is_sql(text)
    )


def _strings(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Every string with its text; what an f-string puts in is a word."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node, "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node, node.value


def _is_sql(text: str) -> bool:
    text = text.strip()
    return "\n" in text and bool(STATEMENT.match(text)) and len(CLAUSE.findall(text)) > 1


def _repeated(files: list[Path]) -> int:
    """Runs of lines that stand in two places or more, counted once a place after the first; imports do not count."""
    seen: Counter[tuple[str, ...]] = Counter()
    repeats = 0
    for path in files:
        lines = [line.strip() for line in path.read_text().splitlines()]
        lines = [line for line in lines if len(line) > 3 and not line.startswith(("import ", "from ", "#", "--"))]
        inside = False
        for start in range(len(lines) - PASSAGE + 1):
            window = tuple(lines[start : start + PASSAGE])
            repeats += seen[window] > 0 and not inside
            inside = seen[window] > 0
            seen[window] += 1
    return repeats


if __name__ == "__main__":
    import sys

    for row in house(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT):
        print(f"{row.value:8,.0f} {row.unit:10} {row.metric}")
