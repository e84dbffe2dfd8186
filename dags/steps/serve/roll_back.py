"""Serve an earlier publication again."""

from collections.abc import Iterator

from dags.steps.night import Night
from dags.steps.serve.write_back import write_publication
from infra.platforms import PlatformError
from infra.publications import PublishError, kept_publication, make_current, require_current
from infra.settings import Settings


def roll_back(settings: Settings, to: str, *, apply: bool) -> Iterator[str]:
    """Serve publication ``to`` again, in the lake and on every platform; where it is empty, the one before the current.

    Without ``apply`` nothing is changed. Yields what is done, line by line.

    Raises:
        PublishError: there is no such publication, or a platform could not be written; the others were.
    """
    night = Night.today(settings)
    current, etag = require_current(night.lake)
    wanted = to or current.previous
    if wanted is None:
        raise PublishError(f"{current.publication_id} is the first publication; there is none before it to go back to.")
    target = kept_publication(night.lake, wanted)
    yield f"served now: {current.publication_id} ({current.rows:,} rows); to serve: {target.publication_id} ({target.rows:,} rows)"
    if not apply:
        yield "nothing is changed; `--apply` does it"
        return
    make_current(night.lake, target, etag)
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
