"""The held-out snapshot of a night, read from the marts."""

from dags.steps.learn.off_policy import logged_choices
from dags.steps.night import Night
from infra.warehouse import query, query_with_sequences
from ml.evaluation.held_out import HeldOut


def held_out_of(night: Night) -> HeldOut:
    [as_of] = query(night.settings, "select as_of from marts.snapshots where role = 'evaluation'")["as_of"].to_pylist()
    of_snapshot = f"as_of = date '{as_of}'"  # by value: then a view of all snapshots builds no other one
    examples = query_with_sequences(
        night.settings,
        "from marts.training_examples left join sequences using (as_of, person_id, platform)"
        f" where {of_snapshot} order by person_id, platform, item_id",
    )
    relevant, labels, catalogue, baselines, interactions, consumed, objectives = (
        query(night.settings, sql)
        for sql in (
            "select * exclude (as_of) from marts.evaluation_relevant order by all",
            f"select person_id, platform, product_id, 1 as label from marts.snapshot_labels where {of_snapshot} order by all",
            "select platform, item_id, product_id, category, popularity, is_new, is_available from marts.evaluation_items"
            " order by all",
            "select contender, person_id, platform, item_id, score, label from marts.baseline_lists"
            f" where {of_snapshot} order by all",
            "select person_id, product_id, age_days from marts.positive_interactions"
            f" where {of_snapshot} order by person_id, product_id",
            "select person_id, platform, product_id from marts.evaluation_consumed order by all",
            "from marts.evaluation_objectives order by all",
        )
    )
    choices = logged_choices(Night(as_of, settings=night.settings))
    return HeldOut(as_of, examples, relevant, labels, catalogue, baselines, interactions, consumed, objectives, choices)
