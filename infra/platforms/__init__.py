"""Platforms: what they declare of themselves, what comes from them, and what goes back."""

from infra.platforms.declaration import Column, DeclarationError, Platform, SourceTable, load_platforms
from infra.platforms.errors import PlatformError
from infra.platforms.extract import extract_table
from infra.platforms.gone import gone_keys
from infra.platforms.held import HeldLoad, LoadDecision, held_load, held_loads
from infra.platforms.landed import damaged_files, rows_in_files
from infra.platforms.look import check_connection, known_between
from infra.platforms.manifest import Manifest, manifests
from infra.platforms.read_back import rows_there
from infra.platforms.write_back import write_back

__all__ = [
    "Column",
    "DeclarationError",
    "HeldLoad",
    "LoadDecision",
    "Manifest",
    "Platform",
    "PlatformError",
    "SourceTable",
    "check_connection",
    "damaged_files",
    "extract_table",
    "gone_keys",
    "held_load",
    "held_loads",
    "known_between",
    "load_platforms",
    "manifests",
    "rows_in_files",
    "rows_there",
    "write_back",
]
