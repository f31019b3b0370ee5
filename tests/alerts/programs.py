"""The real promtool."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool

PROMTOOL = Tool("promtool", "promtool", "github.com/prometheus/prometheus/cmd/promtool", home=Path(__file__).parent)
