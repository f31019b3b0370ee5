"""actionlint, pinned beside this file."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool

ACTIONLINT = Tool("actionlint", "actionlint", "github.com/rhysd/actionlint/cmd/actionlint", home=Path(__file__).parent)
