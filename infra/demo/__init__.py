"""Three demo platforms built from real data: a video site, a shop and a forum that share films and some of their users.

MovieLens gives the behaviour, FEBRL the people. The truth (which accounts are one person, which items are one film,
which rows are corrupted) lies beside the warehouses in ``truth/``, never inside them.
"""

import hashlib
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from infra.demo import behaviour, forum, people, shop, sources, stream
from infra.demo.sources import Size

__all__ = ["build_demo"]

WRITERS = {"stream": stream.write, "shop": shop.write, "forum": forum.write}
WAREHOUSES = ("stream.duckdb", "shop.sqlite", "forum")
MARKER = Path("truth") / "built.json"


def build_demo(
    target: Path,
    size: Size = "full",
    seed: int = 42,
    progress: Callable[[str], None] = lambda message: None,
    *,
    replace: bool = False,
) -> None:
    """Build the demo platforms in the folder ``target``, unless the same ones are there already.

    The same parameters give the same content. A target of the same size that was built with another seed, from other data or by other
    code, or that lacks a warehouse, is replaced as a whole, and with it what was written back there. A demo of another size is
    replaced only with ``replace``, because the home's nights are nights of that demo.

    Raises:
        FileExistsError: The folder has a demo of another size, or something that this function did not build.
        FileNotFoundError: The demo's packages are not installed.
    """
    target = target.absolute()
    marker = {"size": size, "seed": seed, "data": sources.data_hash(size), "code": _code_hash()}
    there = _read_marker(target)
    if there == marker and all((target / part).exists() for part in WAREHOUSES):
        progress(f"demo platforms are up to date in {target}")
        return
    if target.exists() and any(target.iterdir()) and not (target / MARKER).exists():
        raise FileExistsError(
            f"'{target}' holds something else than a demo. Received: files without {MARKER}. Remedy: move them away, or set "
            "CROSSREC_HOME to another folder."
        )
    if not replace and there and (size_there := there.get("size")) != size:
        raise FileExistsError(
            f"'{target}' holds the {size_there} demo, whose nights this home has. Received: size {size}. Remedy: give `--demo-size "
            f"{size_there}` to `crossrec nightly`; or set CROSSREC_HOME to another folder; or replace it by `crossrec demo --size "
            f"{size} --replace`, and delete the home's nights."
        )

    aside, old = target.with_name(f".{target.name}.building"), target.with_name(f".{target.name}.replaced")
    for leftover in (aside, old):
        shutil.rmtree(leftover, ignore_errors=True)
    (aside / "truth").mkdir(parents=True)
    _build(aside, size, seed, progress)
    (aside / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    if target.exists():
        target.rename(old)
    aside.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _build(folder: Path, size: Size, seed: int, progress: Callable[[str], None]) -> None:
    def rng(part: str) -> np.random.Generator:
        return np.random.default_rng([seed, zlib.crc32(part.encode())])

    progress(f"reading {sources.MOVIELENS[size]} and FEBRL")
    source, febrl = sources.load_movielens(size), sources.load_febrl()
    held = behaviour.stock_catalogues(source, rng("catalogues"))
    homes = people.settle(len(source.users), rng("homes"))
    accounts = people.open_accounts(source, homes, febrl, rng("accounts"))
    where = behaviour.split_ratings(source.ratings, homes, held, rng("split"))
    progress(f"{(where >= 0).sum():,} of {len(where):,} ratings have a platform that holds their film")

    truths: dict[str, behaviour.Truth] = {}
    for number, name in enumerate(people.PLATFORMS):
        platform = behaviour.assemble(number, source, accounts, held, where, rng(name))
        progress(
            f"writing {name}: {len(platform.accounts):,} accounts, {len(platform.catalogue):,} items, "
            f"{len(platform.events):,} events"
        )
        truths[name] = WRITERS[name](folder, platform, rng(f"{name} wording"))

    for part in ("accounts", "items", "corruptions"):
        frames = {name: getattr(truth, part) for name, truth in truths.items()}
        whole = pd.concat(frames, names=["platform"]).reset_index("platform").reset_index(drop=True)
        whole.to_parquet(folder / "truth" / f"{part}.parquet", index=False)


def _read_marker(target: Path) -> dict[str, object] | None:
    try:
        found: dict[str, object] = json.loads((target / MARKER).read_text(encoding="utf-8"))
        return found
    except (FileNotFoundError, NotADirectoryError, json.JSONDecodeError):
        return None


def _code_hash() -> str:
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(module.read_bytes() for module in modules)).hexdigest()
