"""
### Held loads

A load that a gate does not let pass is held: the platform goes on with its last good data, and the night is yellow. This DAG
shows held loads, and writes down what a person decides about one. `crossrec loads` does the same in a terminal.

| param | meaning |
|---|---|
| decision | `show` prints every held load and changes nothing; `accept` lets exactly this load pass; `discard` deletes it for good |
| platform | whose load it is; not needed for `show` |
| night | the date of the night that held it; not needed for `show` |
| who | who decides |
| why | the reason, for whoever reads the log of decisions later |

An accepted load comes in with the next night. To have it in its own night, clear that night's task `check_loads` with
*Downstream*.

**When it is red:** open the log of the red task. Its last line says what was received and what to do. Nothing was changed.
"""

from datetime import datetime, timedelta

from airflow.sdk import Param, dag, task

from dags.tasks import readable_log


@dag(
    schedule=None,
    start_date=datetime(1970, 1, 1),
    catchup=False,
    max_active_runs=1,
    doc_md=__doc__,
    tags=["crossrec"],
    default_args={"retries": 0, "execution_timeout": timedelta(minutes=30)},
    params={
        "decision": Param(
            "show", enum=["show", "accept", "discard"], description="What to do; `show` changes nothing."
        ),
        "platform": Param(None, type=["null", "string"], description="Whose load it is."),
        "night": Param(None, type=["null", "string"], format="date", description="The night that held it."),
        "who": Param(None, type=["null", "string"], description="Who decides."),
        "why": Param(None, type=["null", "string"], description="The reason, for whoever reads the log later."),
    },
)
def loads():
    @task
    def decide(params=None) -> None:
        with readable_log():
            from dags.steps.merge.held_loads import carry_out

            carry_out(**{name: params[name] for name in ("decision", "platform", "night", "who", "why")})

    decide()


loads()
