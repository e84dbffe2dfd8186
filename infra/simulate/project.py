"""The declaration of generated platforms: a copy of the dbt project whose staging models are theirs."""

import shutil
from pathlib import Path

import jinja2

from infra.settings import PROJECT_ROOT
from infra.simulate.world import World

TEMPLATES = Path(__file__).parent / "staging"


def write_project(target: Path, world: World) -> None:
    """Write ``target/dbt_project``: everything but the staging models is that of this checkout."""
    project = target / "dbt_project"
    keep_out = shutil.ignore_patterns("staging", "target", "logs", "__pycache__")
    shutil.copytree(PROJECT_ROOT / "dbt_project", project, ignore=keep_out)
    # a template's own marks, because what it writes is a template of dbt
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        variable_start_string="<<",
        variable_end_string=">>",
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701  # SQL and YAML, not HTML
    )
    for platform in world.names:
        folder = project / "models" / "staging" / platform
        folder.mkdir(parents=True)
        for name in sorted(templates.list_templates()):
            text = templates.get_template(name).render(platform=platform, connection=_connection(platform))
            (folder / name.replace("PLATFORM", platform)).write_text(text)


def environment(target: Path, world: World) -> str:
    """Lines for a shell: where the platforms and their declaration are."""
    lines = [f"export CROSSREC_DBT_PROJECT='{target.absolute() / 'dbt_project'}'"]
    lines += [f"export {_connection(name)}='file://{target.absolute() / name}'" for name in world.names]
    return "\n".join(lines) + "\n"


def _connection(platform: str) -> str:
    return f"CROSSREC_{platform.upper()}_URL"
