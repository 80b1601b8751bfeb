"""The helpers of these tests are modules beside them: journal_simulation (files), journal_torture (checks)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
