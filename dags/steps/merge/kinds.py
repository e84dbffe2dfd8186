"""The two kinds of records that are linked: accounts become persons, items become products."""

from dataclasses import dataclass

from infra.identity_store import IdentityStore
from infra.lake import Lake
from infra.settings import Settings
from ml.identity.linkage import LinkageSpec
from ml.identity.people import PEOPLE
from ml.identity.products import PRODUCTS


@dataclass(frozen=True)
class Kind:
    name: str  # of a cluster: person, product
    record: str  # account, item
    spec: LinkageSpec

    def store(self, lake: Lake) -> IdentityStore:
        return IdentityStore(lake, self.name, self.record, self.spec.name, in_vault=self.name == "person")

    @property
    def ids(self) -> str:
        """Name of the night's table of ids in the lake."""
        return f"{self.record}_{self.name}s"

    def threshold(self, settings: Settings) -> float:
        """Probability from which two records count as the same."""
        return settings.person_threshold if self.name == "person" else settings.product_threshold

    def max_size(self, settings: Settings) -> int:
        """How many records one cluster may have."""
        return settings.max_cluster_size if self.name == "person" else settings.max_product_items


PERSON = Kind("person", "account", PEOPLE)
PRODUCT = Kind("product", "item", PRODUCTS)
KINDS = {kind.name: kind for kind in (PERSON, PRODUCT)}
