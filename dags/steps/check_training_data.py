"""Step 6: gate `training_data`."""

from dags.steps.night import Night
from dags.steps.train import examples_of, feature_spec
from expectations.gate import run_gate
from expectations.training_data import frame, suite, suite_of_nothing
from infra.warehouse import query


def check_training_data(night: Night) -> None:
    """Grain, labels, features and the candidates' recall of what tonight's model would learn from.

    Raises:
        GateStopped: names each check that does not hold.
    """
    spec = feature_spec()
    [recall] = query(
        night.settings,
        """
        select coalesce(
            (select sum(label) from marts.training_examples where as_of in (select as_of from marts.snapshots))
            / nullif((
                select count(*) from marts.snapshot_labels
                semi join marts.candidate_pairs using (as_of, person_id, platform)
                where as_of in (select as_of from marts.snapshots)
            ), 0), 0
        ) as recall
        """,
    )["recall"].to_pylist()
    examples = examples_of(night)
    result = run_gate(
        "training_data",
        suite(spec.numeric, spec.categorical) if examples.num_rows else suite_of_nothing(),
        frame(examples, candidate_recall=recall),
        as_of=night.as_of,
    )
    night.record("gate-training_data", result.model_dump(mode="json"))
    night.record("candidate_recall", recall)
    night.say(f"gate training_data: {result.verdict}; {examples.num_rows:,} examples, candidate recall {recall:.1%}")
    result.raise_if_stopped()
