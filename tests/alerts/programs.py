"""The real promtool, without the clouds it could discover targets in: their libraries take minutes to build."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool

PROMTOOL = Tool(
    "promtool",
    "promtool",
    "github.com/prometheus/prometheus/cmd/promtool",
    home=Path(__file__).parent,
    tags="remove_all_sd",
)
