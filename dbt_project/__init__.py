"""dbt imports this module when it starts, and asks it for plugins of dbt: see infra/dbt_environment.py."""

from infra.dbt_environment import Declarations

plugins = [Declarations]
