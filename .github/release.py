"""What a release needs of the tree: one version everywhere (in the commands of the pages too), its section of the
changelog, a chart that finds its image.

python .github/release.py check 1.2.3            exit 1 and say which file names another version
python .github/release.py notes 1.2.3            print the section
python .github/release.py crds                   print the kinds as one file
python .github/release.py seed                   print the example that README and the chart's notes name
python .github/release.py image NAME sha256:...  make this image the chart's default
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """Where a version is written, and which."""
    chart = (ROOT / "charts/pve-evpn-operator/Chart.yaml").read_text()
    found = {f"Chart.yaml {key}": _value(chart, key) for key in ("version", "appVersion")}
    found["pyproject.toml"] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for page in ("README.md", "docs/install.md"):
        named = re.findall(r"--version (\S+)|/releases/download/v([^/]+)/", (ROOT / page).read_text())
        found[page] = ", ".join(sorted({one or other for one, other in named}))
    found["CHANGELOG.md (newest)"] = next(iter(sections()), "")
    return found


def sections() -> dict[str, str]:
    """The changelog by version, newest first, without what is not released."""
    text = (ROOT / "CHANGELOG.md").read_text()
    parts = re.split(r"^## \[?(\d+\.\d+\.\d+[^\]\s]*)\]?[^\n]*\n", text, flags=re.M)
    return {version: body.strip() for version, body in zip(parts[1::2], parts[2::2], strict=True)}


def crds() -> str:
    """Every kind, as documents of one YAML file."""
    return "".join(f"---\n{path.read_text()}" for path in sorted((ROOT / "crds").glob("*.yaml")))


def seed() -> str:
    """The seed topology as documents of one YAML file, without its cluster and its NIC."""
    names = ("10-controller", "20-zone", "30-vnet")
    return "".join(f"---\n{(ROOT / 'examples/seed' / name).with_suffix('.yaml').read_text()}" for name in names)


def name_image(repository: str, digest: str) -> None:
    """Write the image into the chart's default values, and for Artifact Hub; comments and all else stay as they are."""
    values = ROOT / "charts/pve-evpn-operator/values.yaml"
    registry, _, name = repository.partition("/")
    text = values.read_text()
    for key, value in (("registry", registry), ("repository", name), ("digest", f'"{digest}"')):
        text, found = re.subn(rf"^(  {key}: ).*$", rf"\g<1>{value}", text, flags=re.M)
        if found != 1:
            raise SystemExit(f"{values.name} has no single image.{key}")
    values.write_text(text)
    chart = values.with_name("Chart.yaml")
    images = f"  artifacthub.io/images: |\n    - name: pve-evpn-operator\n      image: {repository}@{digest}\n"
    chart.write_text(chart.read_text() + images)


def _value(text: str, key: str) -> str:
    match = re.search(rf"^{key}: *\"?([^\"\s]+)", text, re.M)
    return match[1] if match else ""


def main(arguments: list[str]) -> int:
    """The command line."""
    match arguments:
        case ["check", wanted]:
            wrong = {where: version for where, version in versions().items() if version != wanted}
            for where, version in wrong.items():
                print(f"{where} names {version or 'no version'}, not {wanted}", file=sys.stderr)
            return 1 if wrong else 0
        case ["notes", wanted] if wanted in sections():
            print(sections()[wanted])
            return 0
        case ["notes", wanted]:
            print(f"CHANGELOG.md has no section {wanted}", file=sys.stderr)
            return 1
        case ["crds"]:
            print(crds(), end="")
            return 0
        case ["seed"]:
            print(seed(), end="")
            return 0
        case ["image", repository, digest] if re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            name_image(repository, digest)
            return 0
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
