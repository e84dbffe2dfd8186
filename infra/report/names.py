"""How the report calls metrics, contenders and stages, and in which order it shows them."""

LEARNED = ("challenger", "champion")
LOWER_IS_BETTER = frozenset({"log_loss", "calibration_error"})
UNRANKED = frozenset({"coverage", "novelty", "intra_list_diversity", "popularity_lift"})
METRIC_NAMES = {
    "ndcg_at_10": "NDCG@10",
    "recall_at_20": "Recall@20",
    "new_item_recall_at_20": "New item recall@20",
    "mrr": "MRR",
    "precision_at_10": "Precision@10",
    "f1_at_10": "F1@10",
    "map_at_10": "MAP@10",
    "auc": "AUC",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
    "coverage": "Coverage",
    "novelty": "Novelty",
    "intra_list_diversity": "Intra-list diversity",
    "popularity_lift": "Popularity lift",
}
# the others stand among the numbers: more panels would be read by nobody
CHARTED = ("ndcg_at_10", "recall_at_20", "mrr", "auc", "log_loss", "coverage")
METRIC_HELP = {
    "ndcg_at_10": "How well the first ten items of a list hold what the person then chose, the top ones counting most. "
    "1 is perfect.",
    "recall_at_20": "Share of what a person then chose that stood in their list of twenty.",
    "new_item_recall_at_20": "The same share of items new on offer alone, over people who chose any of them: mostly few.",
    "mrr": "One divided by the rank of the first item that the person then chose. 1 is: always the first.",
    "precision_at_10": "Share of the first ten that the person then chose.",
    "f1_at_10": "The harmonic mean of precision and recall of the first ten.",
    "map_at_10": "Precision at the rank of each hit among the first ten, averaged over what there was to find.",
    "auc": "How often an item that was chosen scores above one that was not. 0.5 is a coin toss.",
    "log_loss": "How far the predicted probabilities are from what happened. Lower is better.",
    "calibration_error": "How far the predicted probabilities are from the share that was chosen, in ten equal groups.",
    "coverage": "Share of the catalogue that stands in somebody's list. High or low is neither good nor bad by itself.",
    "novelty": "How rare the first ten are, in bits. Half as many interactions are one bit more. Neither good nor bad by itself.",
    "intra_list_diversity": "Share of the pairs among the first ten whose categories differ. Neither good nor bad by itself.",
    "popularity_lift": "How much more popular the first ten are than what people chose: 0 is as popular, 1 twice as popular.",
}
COHORT_METRICS = ("ndcg_at_10", "recall_at_20")
COHORT_CONTENDERS = (*LEARNED, "popularity")
# what a smaller group shows is mostly chance, and of a very small one it is about somebody
SMALLEST_GROUP = 30
CONTENDER_NAMES = {
    "challenger": "Tonight's model",
    "champion": "Serving model",
    "popularity": "Popularity",
    "ease": "EASE",
    "item_neighbours": "Item neighbours",
    "als": "ALS",
    "bpr": "BPR",
}
# of fewer positive interactions than this, a normal interval is narrower than it should be
ENOUGH_INTERACTED = 30
ESTIMATORS = {"ips": "IPS", "snips": "self-normalised IPS", "doubly_robust": "doubly robust"}
FUNNEL_STAGES = {
    "raw_rows": "rows read",
    "duplicate_rows": "  repeated",
    "quarantined_rows": "  in quarantine",
    "staged_rows": "rows understood",
    "accounts": "accounts",
    "persons": "people",
    "items": "items",
    "interactions": "interactions",
    "candidates": "candidates",
    "lists": "lists made",
    "written_back": "lists written back",
}
# the stages of the conservation table, in the order in which rows pass them; any other stage comes before them
STAGES = (
    "source",
    "landed",
    "staged",
    "joined",
    "fates",
    "gone",
    "marts",
    "persons",
    "positives",
    "labels",
    "proposed",
    "proposals",
    "candidates",
    "scored",
    "accounts",
    "ranked",
    "published",
    "written_back",
)
STAGE_NAMES = {
    "source": "rows in the source",
    "landed": "rows loaded",
    "staged": "rows landed",
    "joined": "rows landed",
    "fates": "rows staged",
    "gone": "keys that the source has no more",
    "marts": "rows to be kept",
    "persons": "rows in the marts",
    "positives": "positive interactions in the horizon",
    "labels": "labels",
    "proposed": "candidates of labelled snapshots",
    "proposals": "what generators proposed",
    "candidates": "candidates",
    "scored": "rows to rank",
    "accounts": "active accounts",
    "ranked": "rows ranked for accounts",
    "published": "rows of lists",
    "written_back": "rows published",
}
PART_NAMES = {
    "read_before": "loaded in earlier nights",
    "known": "known from an earlier load",
    "waiting": "left for a later night",
    "landed": "in the files",
    "duplicate": "repeated",
    "quarantined": "in quarantine",
    "renamed": "count for the new handle",
    "unknown_item": "of an unknown item",
    "unknown_account": "of an unknown account",
    "joined": "joined into events",
    "deleted_account": "of a deleted account",
    "handle_given_up": "of a handle that nobody held",
    "renamed_away": "accounts under a newer handle",
    "impression": "impressions",
    "deleted": "count as deleted",
    "withdrawn": "count as not available",
    "came_back": "came back",
    "no_such_id": "no id of an account or item",
    "over_daily_cap": "over the daily cap of an account",
    "superseded": "replaced by a newer version",
    "replaced_at_once": "replaced at the same moment",
    "known_later": "not known before the night",
    "account_with_person": "accounts with a person",
    "item_with_product": "items with a product",
    "interaction": "interactions",
    "label": "became labels",
    "had_before": "of what the person knew before",
    "positive_example": "positive examples",
    "too_few_events": "of people with too few events",
    "not_on_offer": "of what was not on offer",
    "not_proposed": "that no generator proposed",
    "example": "examples",
    "of_nobody_with_a_label": "of people without a label",
    "not_learned": "of a platform that the model has not seen",
    "of_a_pinned_product": "of a product that another item is pinned for",
    "no_model": "without a model",
    "below_the_list": "with no room in the list",
    "listed": "have a list",
    "created_later": "created after the night",
    "had_everything": "had everything on offer",
    "list_row": "in lists",
    "written_back": "in the platform's warehouse",
    "not_asked_for": "not asked for by the platform",
}


def stage_name(stage: str) -> str:
    return STAGE_NAMES.get(stage, stage.replace("_", " "))


def part_name(part: str) -> str:
    return PART_NAMES.get(part, part.replace("_", " "))


def metric_name(metric: str) -> str:
    return METRIC_NAMES.get(metric, metric)


def contender_name(contender: str) -> str:
    return CONTENDER_NAMES.get(contender, contender.replace("_", " ").capitalize())


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def nights(count: int) -> str:
    return "one night" if count == 1 else f"{count} nights"
