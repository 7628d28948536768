"""`python -m vssl_core.cli` is `vssl`."""

from __future__ import annotations

import sys

from vssl_core.cli import main

sys.exit(main())
