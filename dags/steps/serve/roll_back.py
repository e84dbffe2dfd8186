"""Serve an earlier publication again."""

from collections.abc import Iterator

from dags.steps.night import Night
from dags.steps.serve.write_back import write_publication
from infra.platforms import PlatformError
from infra.publications import PublishError, copy_current, kept_publication, require_served, serve_again, served_before
from infra.settings import Settings


def roll_back(settings: Settings, to: str, *, apply: bool, who: str = "", why: str = "") -> Iterator[str]:
    """Serve publication ``to`` again, in the lake and on every platform; where it is empty, the one served before the current.

    Each step back starts where the last one ended, so that two of them go back two. Without ``apply`` nothing is changed.
    Yields what is done, line by line. ``who`` and ``why`` stand in the log of what is served.

    Raises:
        PublishError: there is no such publication, or a platform could not be written; the others were.
        StateError: the log or the publication is damaged.
    """
    night = Night.today(settings)
    now = require_served(night.lake)
    wanted = to or served_before(night.lake, now)
    if wanted is None:
        raise PublishError(
            f"{now.publication_id} is the first publication that the log knows; there is none before it to go back to. "
            "Remedy: choose one by `--to`; `crossrec publications` lists what was served."
        )
    target = kept_publication(night.lake, wanted)
    yield f"served now: {now.publication_id}; to serve: {target.publication_id} ({target.rows:,} rows)"
    if not apply:
        yield "nothing is changed; `--apply` does it"
        return
    if target.publication_id == now.publication_id:  # an earlier rollback was killed, or did not reach every platform
        copy_current(night.lake)
    else:
        serve_again(night.lake, target, now, who, why)
    yield f"{target.publication_id} is current in the lake"
    failures = []
    for platform in night.platforms:
        try:
            changed, _ = write_publication(night, platform, target)
        except PlatformError as error:
            failures.append(str(error))
        else:
            yield f"{platform}: {changed:,} rows changed"
    if failures:
        raise PublishError(
            "\n".join([*failures, "The lake and the other platforms serve it already; when the cause is mended, run"])
            + f" `crossrec rollback --to {target.publication_id} --apply` again."
        )
