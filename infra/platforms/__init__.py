"""Platforms: what they declare of themselves, what comes from them, and what goes back."""

from infra.platforms.declaration import Column, DeclarationError, Platform, SourceTable, load_platforms
from infra.platforms.errors import PlatformError
from infra.platforms.extract import Manifest, check_connection, damaged_files, extract_table, known_between, manifests
from infra.platforms.held import HeldLoad, LoadDecision, held_load, held_loads
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
    "held_load",
    "held_loads",
    "known_between",
    "load_platforms",
    "manifests",
    "write_back",
]
