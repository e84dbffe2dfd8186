"""Values of features that no training example has."""

import pyarrow as pa
import pyarrow.compute as pc


def platforms_without_known_value(candidates: pa.Table, feature: str, known: pa.ChunkedArray) -> list[str]:
    """The platforms on which candidates have values of a categorical feature, none of which is among ``known``.

    New products and categories come every night. They are worth a word only where a platform has no other.
    """
    rows = candidates.select([*{"platform", feature}]).filter(pc.is_valid(candidates[feature]))
    is_known = pc.is_in(rows[feature], value_set=known.combine_chunks())
    some = pa.table({"platform": rows["platform"], "is_known": is_known})
    found = some.group_by("platform").aggregate([("is_known", "any")])
    return sorted(found.filter(pc.invert(found["is_known_any"]))["platform"].to_pylist())
