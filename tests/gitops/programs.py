"""The real GitOps programs: Argo CD (one binary, which acts by the name it is called by) and Flux' judge of status."""

from __future__ import annotations

from pathlib import Path

from tests.gobuild import Tool

HERE = Path(__file__).parent
ARGOCD = "v3.2.11"
_COMMON = "github.com/argoproj/argo-cd/v3/common"

TOOLS = {
    tool.name: tool
    for tool in (
        Tool(
            "argocd",
            "argocd",
            "github.com/argoproj/argo-cd/v3/cmd",
            f"-s -w -X {_COMMON}.version={ARGOCD.removeprefix('v')}",
            HERE,
        ),
        Tool("kstatus", "kstatus", ".", home=HERE),
    )
}
