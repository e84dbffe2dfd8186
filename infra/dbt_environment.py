"""What dbt must know before it parses the project: where the lake is, and which platforms and generators are declared.

dbt imports the module `dbt_project` when it starts, as it does with every module whose name begins with `dbt_`, and gives it
the name of the project in use. So `dbt` works in the folder `dbt_project` as in any other dbt project.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import cast

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.context import get_invocation_context

from infra.generators import generator_names

PROJECT_NAME = "crossrec"


def declared(project: Path) -> dict[str, str]:
    """The environment variables that macros read names from, with commas between them.

    A platform is a folder of ``models/staging``. A generator is a row of seed `generators`.

    Raises:
        GeneratorError: the seed and the models do not name the same generators.
    """
    platforms = sorted(file.parent.name for file in project.glob("models/staging/*/_*__sources.yml"))
    return {
        "CROSSREC_DBT_PLATFORMS": ",".join(platforms),
        "CROSSREC_DBT_GENERATORS": ",".join(generator_names(project)),
    }


class Declarations(dbtPlugin):
    """Adds the lake and the declared names to the environment of this one invocation of dbt, for this project alone.

    A variable that is set already stays.
    """

    def initialize(self) -> None:
        if self.project_name != PROJECT_NAME:
            return
        from infra.lake import open_lake
        from infra.settings import Settings

        # dbt reads a copy of the environment that it makes when it starts; the process's own stays as it is
        environment: Mapping[str, str] = get_invocation_context().env
        variables = declared(Path(get_flags().PROJECT_DIR))  # type: ignore[no-untyped-call]
        variables["CROSSREC_DBT_LAKE"] = open_lake(Settings()).uri()
        for name, value in variables.items():
            cast(dict[str, str], environment).setdefault(name, value)
