"""Platforms: what they declare of themselves, what comes from them, and what goes back."""

from infra.platforms.declaration import Column, DeclarationError, Platform, SourceTable, load_platforms
from infra.platforms.errors import PlatformError
from infra.platforms.extract import Manifest, check_connection, extract_table, manifests
from infra.platforms.write_back import write_back

__all__ = [
    "Column",
    "DeclarationError",
    "Manifest",
    "Platform",
    "PlatformError",
    "SourceTable",
    "check_connection",
    "extract_table",
    "load_platforms",
    "manifests",
    "write_back",
]
