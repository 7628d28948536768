"""The command as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def vssl(*arguments: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with a folder of distributions first on its path."""
    env = {**os.environ, **environment}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    command = [sys.executable, "-m", "vssl_core.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)
