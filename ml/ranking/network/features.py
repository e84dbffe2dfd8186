"""Which columns the network reads, and as what: the typed form of `meta: {feature: ...}` in the dbt YAML."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

Kind = Literal["numeric", "categorical", "cross", "sequence"]


@dataclass(frozen=True)
class Feature:
    """One input of the network, or a cross-product of categorical inputs.

    Attributes:
        name: the column, or the name of the cross.
        kind: numeric, categorical, cross or sequence.
        buckets: number of hash buckets of a cross. Others have 0.
        of: parts of a cross; for a sequence the one categorical feature whose values it holds. A sequence is text: values
            joined by `|`, the newest first.
        may_be_constant: the column may have one value only, because a platform need not declare what it is made from.
    """

    name: str
    kind: Kind
    buckets: int = 0
    of: tuple[str, ...] = ()
    may_be_constant: bool = False


@dataclass(frozen=True)
class FeatureSpec:
    """The features of one version, in a fixed order. Raises ValueError where they contradict each other."""

    features: tuple[Feature, ...]

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"features {repeated} are declared more than once; give each its own name")
        for feature in self.features:
            self._check(feature)
        if not self.columns:
            raise ValueError(
                "no column is declared a feature; give at least one column `meta: {feature: numeric}` "
                "or `meta: {feature: categorical}`"
            )

    def _check(self, feature: Feature) -> None:
        if feature.kind not in get_args(Kind):
            raise ValueError(
                f"feature '{feature.name}': kind must be one of {list(get_args(Kind))}. Received: {feature.kind!r}"
            )
        if feature.kind != "cross" and feature.buckets:
            raise ValueError(
                f"feature '{feature.name}': only a cross is hashed into buckets; a categorical feature has a row for every "
                f"value. Received: {feature.kind}, buckets={feature.buckets}. Remedy: declare it without buckets"
            )
        if feature.kind == "cross":
            if feature.buckets < 2:
                raise ValueError(
                    f"cross '{feature.name}': a cross is hashed into at least 2 buckets. Received: buckets={feature.buckets}"
                )
            unknown = [part for part in feature.of if part not in self.categorical]
            if unknown or len(feature.of) < 2:
                raise ValueError(
                    f"cross '{feature.name}': `of` must name two or more categorical features. "
                    f"Received: of={list(feature.of)}, not categorical: {unknown}"
                )
        if feature.kind == "sequence" and (len(feature.of) != 1 or feature.of[0] not in self.categorical):
            raise ValueError(
                f"sequence '{feature.name}': `of` must name the one categorical feature whose values it holds. "
                f"Received: of={list(feature.of)}, categorical: {list(self.categorical)}"
            )

    def _names(self, kind: Kind) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features if feature.kind == kind)

    @cached_property
    def numeric(self) -> tuple[str, ...]:
        return self._names("numeric")

    @cached_property
    def categorical(self) -> tuple[str, ...]:
        return self._names("categorical")

    @cached_property
    def crosses(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "cross")

    @cached_property
    def sequences(self) -> tuple[Feature, ...]:
        return tuple(feature for feature in self.features if feature.kind == "sequence")

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The raw columns that training and scoring need."""
        return self.categorical + self.numeric + self._names("sequence")

    def check_columns(self, present: Collection[str], where: str) -> None:
        """Raises ValueError with every feature column that `present` lacks. `where` begins the message."""
        if missing := [name for name in self.columns if name not in present]:
            raise ValueError(
                f"{where} lacks {len(missing)} of the model's {len(self.columns)} feature columns: {missing}. "
                "Build the mart with them, or train a new version on the columns it has now"
            )

    def to_json(self) -> str:
        return json.dumps([asdict(feature) for feature in self.features])

    @classmethod
    def from_json(cls, text: str) -> "FeatureSpec":
        return cls(tuple(Feature(**{**fields, "of": tuple(fields["of"])}) for fields in json.loads(text)))

    @classmethod
    def from_dbt_columns(cls, columns: Iterable[Mapping[str, Any]]) -> "FeatureSpec":
        """Reads features from dbt's column entries.

        An entry has `name` and `meta`, as in a dbt manifest, or `name` and the keys of `meta` side by side, as a cross is
        declared on the model. An entry without `feature` is no feature. A cross has 10,000 buckets unless it declares its own.
        """
        features = []
        for column in columns:
            meta = column.get("meta", column)
            if kind := meta.get("feature"):
                buckets = int(meta.get("buckets", 10_000 if kind == "cross" else 0))
                may_be_constant = bool(meta.get("may_be_constant", False))
                features.append(Feature(column["name"], kind, buckets, tuple(meta.get("of", ())), may_be_constant))
        return cls(tuple(features))
