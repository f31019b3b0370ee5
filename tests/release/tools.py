"""crane, whose registry takes what a release pushes, and syft, which writes its SBOM: pinned beside this file."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool

_HOME = Path(__file__).parent
_SYFT = "v1.57.1"

CRANE = Tool("crane", "crane", "github.com/google/go-containerregistry/cmd/crane", home=_HOME)
SYFT = Tool("syft", "syft", "github.com/anchore/syft/cmd/syft", f"-s -w -X main.version={_SYFT}", home=_HOME)
