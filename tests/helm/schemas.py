"""JSON schemas for kubeconform, from the OpenAPI of a running API server: exactly its release, its CRDs included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: Where kubeconform finds a kind's schema.
LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"


def write(openapi: dict[str, Any], folder: Path) -> None:
    """One file per kind. Each stands alone; unknown fields are not allowed."""
    definitions = {name: _strict(node) for name, node in openapi["definitions"].items()}
    (folder / "definitions.json").write_text(json.dumps({"definitions": definitions}))
    for name, node in openapi["definitions"].items():
        for gvk in node.get("x-kubernetes-group-version-kind", ()):
            group = f"-{gvk['group'].split('.')[0]}" if gvk["group"] else ""
            file = folder / f"{gvk['kind'].lower()}{group}-{gvk['version']}.json"
            file.write_text(json.dumps({"$ref": f"definitions.json#/definitions/{name}"}))


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"oneOf": [{"type": "string"}, {"type": "integer"}]}
    made: dict[str, Any] = {}
    for key, value in node.items():
        if key == "properties":
            made[key] = {name: _strict(child) for name, child in value.items()}
        elif key == "$ref":
            made[key] = value  # #/definitions/...: the same file
        elif key not in ("description", "format", "default") and not key.startswith("x-kubernetes-"):
            made[key] = _strict(value)
    open_ = "additionalProperties" in made or node.get("x-kubernetes-preserve-unknown-fields")
    if "properties" in made and not open_:
        made["additionalProperties"] = False
    return made
