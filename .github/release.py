"""What a release needs of the tree: one version everywhere, and its section of the changelog.

python .github/release.py check 1.2.3    exit 1 and say which file names another version
python .github/release.py notes 1.2.3    print the section
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
    found["CHANGELOG.md (newest)"] = next(iter(sections()), "")
    return found


def sections() -> dict[str, str]:
    """The changelog by version, newest first, without what is not released."""
    text = (ROOT / "CHANGELOG.md").read_text()
    parts = re.split(r"^## \[?(\d+\.\d+\.\d+[^\]\s]*)\]?[^\n]*\n", text, flags=re.M)
    return {version: body.strip() for version, body in zip(parts[1::2], parts[2::2], strict=True)}


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
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
