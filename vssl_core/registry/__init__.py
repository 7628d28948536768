"""Components by name: finding them without importing, naming them in five ways, loading them.

Discovery never raises and never imports a component; use never guesses. A component is named as
`name`, `distribution:name`, `package.module:Class`, `./file.py:Class`, or is the class itself.
"""

from __future__ import annotations

from vssl_core.registry.digest import plugin_digest
from vssl_core.registry.discovery import conflicts, register, scan, scan_problems
from vssl_core.registry.loading import CLASS_CHECKS, core_class, import_target, load
from vssl_core.registry.ref import GROUPS, KINDS, NAME_PATTERN, Kind, Origin, PluginRef
from vssl_core.registry.resolving import resolve

__all__ = [
    "CLASS_CHECKS",
    "GROUPS",
    "KINDS",
    "NAME_PATTERN",
    "Kind",
    "Origin",
    "PluginRef",
    "conflicts",
    "core_class",
    "import_target",
    "load",
    "plugin_digest",
    "register",
    "resolve",
    "scan",
    "scan_problems",
]
