"""What the chart has from elsewhere: the CRDs, the schema of a cluster's spec, its README, the rendered RBAC. And the
settings of Argo CD, one entry per kind.

    python charts/generate.py                    write them anew
    python charts/generate.py --rbac             write charts/rbac.yaml too, which needs helm
    python charts/generate.py --install FILE     write the whole chart as plain manifests, which needs helm

Tests hold each of them against its source.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts" / "pve-evpn-operator"
ARGOCD = ROOT / "examples" / "gitops" / "argocd"
RBAC = ROOT / "charts" / "rbac.yaml"
NAMESPACE = "pve-evpn-system"
_KINDS_OF_RBAC = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
_HEAD = """\
# What the operator may do, and nothing more: rendered from the chart for a release pve-evpn-operator in
# pve-evpn-system by charts/generate.py --rbac, for those who install without Helm. Do not edit.
"""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python charts/generate.py")
    parser.add_argument("--rbac", metavar="HELM", nargs="?", const="helm", help="path of helm")
    parser.add_argument("--install", metavar="FILE", type=Path, help="write the chart as plain manifests")
    parser.add_argument("--image", default="", help="the manifests' image, where the chart names none")
    parser.add_argument("--helm", default="helm", help="path of helm for --install")
    arguments = parser.parse_args(argv)
    if arguments.install:
        arguments.install.parent.mkdir(parents=True, exist_ok=True)
        try:
            arguments.install.write_text(install(arguments.helm, arguments.image))
        except ValueError as problem:
            sys.stderr.write(f"{problem}\n")
            return 1
        return 0
    for path, text in generated().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for path in left_over():
        path.unlink()
    if arguments.rbac:
        RBAC.write_text(rbac(arguments.rbac))
    return 0


def generated() -> dict[Path, str]:
    """Every file and what it must hold, apart from the RBAC."""
    files = {CHART / "files" / "crds" / path.name: path.read_text() for path in sorted((ROOT / "crds").glob("*.yaml"))}
    warnings = sorted((ROOT / "crds" / "warnings").glob("*.yaml"))
    files |= {CHART / "files" / "warnings" / path.name: path.read_text() for path in warnings}
    files[CHART / "values.schema.json"] = values_schema()
    files[CHART / "README.md"] = readme()
    files[ARGOCD / "argocd-cm.yaml"] = argocd_settings()
    return files


def left_over() -> list[Path]:
    """CRDs in the chart that are no more."""
    return [path for path in (CHART / "files" / "crds").glob("*.yaml") if not (ROOT / "crds" / path.name).exists()]


# --- the schema of the values -------------------------------------------------------------------------------------


def values_schema() -> str:
    """The committed schema with the present schema of a ProxmoxCluster's spec in it."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    crd = yaml.safe_load((ROOT / "crds" / "pve-evpn.dev_proxmoxclusters.yaml").read_text())
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    made = _strict(spec)
    made["required"] = [name for name in made["required"] if name != "credentialsSecretRef"]  # the chart may make it
    schema["$defs"]["ProxmoxClusterSpec"] = made
    return json.dumps(schema, indent=2) + "\n"


def _strict(node: Any) -> Any:
    """A structural schema as JSON Schema that refuses unknown fields.

    Of the rules only patterns are taken over: the rest only an API server can judge.
    """
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {}
    for key, value in node.items():
        if key == "properties":
            made[key] = {name: _strict(child) for name, child in value.items()}
        elif key == "x-kubernetes-validations" and (patterns := _patterns(value)):
            made["allOf"] = [{"pattern": pattern} for pattern in patterns]
        elif key != "description" and not key.startswith("x-kubernetes-"):
            made[key] = _strict(value)
    if "properties" in made and "additionalProperties" not in made:
        made["additionalProperties"] = False
    for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if made.get(bound) is True:
            made[bound] = made.pop(limit)
    return made


def _patterns(rules: list[dict[str, str]]) -> list[str]:
    """The regular expressions a text must match; CEL and JSON Schema in Helm both read RE2."""
    return [match[1] for rule in rules if (match := re.fullmatch(r"self\.matches\(r'(.*)'\)", rule["rule"]))]


# --- the settings of Argo CD ------------------------------------------------------------------------------------------


def argocd_settings() -> str:
    """A patch of Argo CD's ConfigMap: the script of health.lua under a key per kind, which nobody else's keys touch."""
    crds = [yaml.safe_load(path.read_text())["spec"] for path in sorted((ROOT / "crds").glob("*.yaml"))]
    names = [f"{crd['group']}_{crd['names']['kind']}" for crd in crds]
    script = textwrap.indent((ARGOCD / "health.lua").read_text(), "    ", lambda line: bool(line.strip()))
    first, *others = (f"  resource.customizations.health.{name}: " for name in names)
    return _ARGOCD_HEAD + f"{first}&health |\n{script}" + "".join(f"{other}*health\n" for other in others)


_ARGOCD_HEAD = """\
# Written by charts/generate.py from health.lua beside this file. Add it to Argo CD's own ConfigMap:
#   kubectl patch configmap argocd-cm -n argocd --patch-file examples/gitops/argocd/argocd-cm.yaml
# Each kind has its own key, so the patch overwrites no entry of yours, and no entry of yours is part of it.
apiVersion: v1
kind: ConfigMap
metadata:
  name: argocd-cm
  namespace: argocd
  labels:
    app.kubernetes.io/name: argocd-cm
    app.kubernetes.io/part-of: argocd
data:
"""


# --- the README ---------------------------------------------------------------------------------------------------


def readme() -> str:
    """The page with the table of values, which comes from the comments of values.yaml."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = "\n".join(
        f"| `{path}` | {_default(_at(values, path))} | {text} |" for path, text in documented(CHART / "values.yaml")
    )
    return _README.format(description=chart["description"], kubernetes=chart["kubeVersion"], rows=rows)


def documented(file: Path) -> Iterator[tuple[str, str]]:
    """Paths of values with the ``# --`` comment above each."""
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    for line in file.read_text().splitlines():
        if match := re.match(r"\s*# (?:-- )?(.*)", line):
            comment = [match[1]] if "# -- " in line else [*comment, match[1]]
        elif match := re.match(r"( *)([A-Za-z]+):", line):
            path = [(indent, name) for indent, name in path if indent < len(match[1])]
            path.append((len(match[1]), match[2]))
            if comment:
                yield ".".join(name for _, name in path), " ".join(comment)
            comment = []
        else:
            comment = []


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _default(value: Any) -> str:
    return f"`{json.dumps(value)}`"


_README = """\
<!-- Written by charts/generate.py from values.yaml and Chart.yaml. -->
# Helm chart of pve-evpn-operator

For those who install the operator with Helm: what the chart makes, and every value. [docs/install.md](
../../docs/install.md) is the tour. {description}. Kubernetes {kubernetes}; tested with Helm 3 and 4.

```console
$ helm install pve-evpn-operator oci://ghcr.io/pve-evpn/charts/pve-evpn-operator -n pve-evpn-system \\
    --create-namespace -f my-values.yaml
```

with, for example, this `my-values.yaml`:

```yaml
clusters:
  - name: pve
    credentials:
      tokenId: pve-evpn@pve!operator
      token: 00000000-0000-0000-0000-000000000000
    spec:
      endpoints:
        - https://pve1.example.com:8006
      tls:
        fingerprint: "..."
```

The chart of a release names its image. The one in the source does not, and asks for `image.repository`. A value that
does not exist or cannot work, or a field of a cluster's `spec` that does not exist, is refused before anything
happens, and the message names it.

## What it makes

The kinds (CRDs, brought up to date by each upgrade and kept by an uninstall), a Deployment without privileges on a
read-only file system, the operator's own roles, roles for people that join Kubernetes' `view`, `edit` and `admin`, a
Service, a PodDisruptionBudget, a NetworkPolicy, and on demand a ServiceMonitor, a PrometheusRule and Grafana
dashboards. ProxmoxClusters listed under `clusters` are applied by a Job after each install and upgrade; the Job's
rights are deleted with it.

## Values

| Value | Default | What it is |
|---|---|---|
{rows}
"""


# --- the RBAC without Helm ----------------------------------------------------------------------------------------


def rbac(helm: str) -> str:
    """What the chart renders of the operator's own rights."""
    rendered = _rendered(helm, {"rbac": {"aggregate": False}, "image": {"repository": "pve-evpn-operator"}})
    documents = [document for document in rendered if document["kind"] in _KINDS_OF_RBAC]
    for document in documents:
        del document["metadata"]["labels"]
    return _HEAD + yaml.safe_dump_all(documents, sort_keys=False, width=120)


def _rendered(helm: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The objects of a release pve-evpn-operator in pve-evpn-system. Raises ValueError with Helm's words."""
    settings = ["--set-json", json.dumps(values)] if values else []
    command = [helm, "template", "pve-evpn-operator", str(CHART), "-n", NAMESPACE, *settings]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ValueError(done.stderr)
    return [document for document in yaml.safe_load_all(done.stdout) if document]


# --- the whole chart without Helm -----------------------------------------------------------------------------------

_ORDER = ("CustomResourceDefinition", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
_INSTALL_HEAD = """\
# pve-evpn-operator {version} without Helm: kubectl apply --server-side -f install.yaml
# The chart with its default values, rendered by charts/generate.py --install. Then make a Secret with credentials in
# pve-evpn-system and a ProxmoxCluster: docs/install.md.
"""
#: What only Helm reads.
_OF_HELM = {"app.kubernetes.io/managed-by", "helm.sh/chart", "helm.sh/resource-policy"}


def install(helm: str, image: str = "") -> str:
    """Namespace, kinds, roles and the operator as plain manifests.

    Arguments:
        image: ``registry/name:tag`` or ``registry/name@sha256:...``, or "" for the image that the chart names.

    Raises ValueError with Helm's words, for example where neither names an image.
    """
    documents = _rendered(helm, _image_values(image))
    documents.sort(key=lambda document: _ORDER.index(document["kind"]) if document["kind"] in _ORDER else len(_ORDER))
    documents.insert(0, _NAMESPACE)
    for document in documents:
        _without_helm(document["metadata"])
    for document in documents:
        if document["kind"] == "Deployment":
            _without_helm(document["spec"]["template"]["metadata"])
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    return _INSTALL_HEAD.format(version=version) + yaml.safe_dump_all(documents, sort_keys=False, width=120)


def _image_values(image: str) -> dict[str, Any]:
    if not image:
        return {}
    name, _, digest = image.partition("@")
    name, _, tag = name.rpartition(":") if ":" in name.rpartition("/")[2] else (name, "", "")
    return {"image": {"registry": "", "repository": name, "tag": tag, "digest": digest}}


def _without_helm(metadata: dict[str, Any]) -> None:
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in metadata.pop(field, {}).items() if key not in _OF_HELM}
        if kept:
            metadata[field] = kept


_NAMESPACE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}},
}


if __name__ == "__main__":
    sys.exit(main())
