"""The documentation leads somewhere: links have ends, pages are in the index and say for whom they are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pve_evpn.api.kinds import KINDS

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(\s*([^)\s]+)\s*\)")


def pages() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines()]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_ends(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        end = page.parent / path if path else page
        assert end.exists(), f"{target} leads nowhere"
        if anchor and end.suffix == ".md":
            assert anchor in anchors(end), f"{target}: {end.name} has no such heading"


def test_every_page_is_in_the_index() -> None:
    docs = ROOT / "docs"
    linked = {(docs / target).resolve() for target in LINK.findall((docs / "README.md").read_text())}
    assert {page for page in docs.glob("*.md") if page.name != "README.md"} <= linked


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_every_page_opens_with_who_needs_it(page: Path) -> None:
    if page.name == "README.md":
        return
    paragraphs = page.read_text().split("\n\n")
    opening = next(text.strip() for text in paragraphs if not text.lstrip().startswith(("#", "<!--")))
    assert opening.startswith(("For ", "Who")), opening


ARCHITECTURE = ROOT / "docs/architecture.md"


def paths_in(page: Path) -> set[str]:
    """Files and folders that a page names, ``a/b.py`` or ``a/b/``."""
    words = re.findall(r"(?<![\w./-])[\w-]+(?:/[\w-]+)*(?:/|\.py|\.md|\.yaml|\.toml)(?![\w*<])", page.read_text())
    return {word for word in words if "/" in word.rstrip("/") or word.endswith(".py")}


def leads_somewhere(path: str) -> bool:
    """From the root, from the operator's package or from docs/."""
    return any((place / path).exists() for place in (ROOT, ROOT / "operator/pve_evpn", ROOT / "docs"))


@pytest.mark.parametrize("page", sorted((ROOT / "docs/decisions").glob("*.md")), ids=lambda page: page.name)
def test_a_decision_names_modules_that_exist_or_is_superseded(page: Path) -> None:
    """Only paths in code: prose has slashes too."""
    code = {path for path in paths_in(page) if f"`{path}`" in page.read_text()}
    stale = sorted(path for path in code if path.endswith(".py") and not leads_somewhere(path))
    assert stale == [] or "*Superseded " in page.read_text()


def test_architecture_names_modules_that_exist() -> None:
    named = paths_in(ARCHITECTURE)
    assert len(named) > 50, "the pattern no longer finds the paths"
    assert sorted(path for path in named if not leads_somewhere(path)) == []
    inside = re.findall(r"`(\w+)`(?:, `(\w+)`)? in `([\w/]+\.py)`", ARCHITECTURE.read_text())
    assert len(inside) >= 8
    for *names, module in inside:
        text = (ROOT / "operator/pve_evpn" / module).read_text()
        assert [name for name in names if name and name not in text] == [], module


def test_architecture_has_a_line_for_every_package() -> None:
    package = ROOT / "operator/pve_evpn"
    tree = ARCHITECTURE.read_text().split("## The tree")[1].split("```")[1]
    there = {path.parent.name for path in package.rglob("__init__.py")} - {package.name}
    assert there <= set(re.findall(r"^ +(\w+)/ ", tree, re.MULTILINE))


def test_every_test_that_a_page_names_exists() -> None:
    """`name` in code is a whole test, `name…` the beginning of some; without the prefix in safety.md."""
    tests = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def test_(\w+)\(", path.read_text())
    }
    named = re.findall(r"`(?:test_)?([a-z]\w*_\w*_\w+)(…?)`", (ROOT / "docs/safety.md").read_text())
    named += re.findall(r"`test_(\w+)(…?)`", (ROOT / "docs/security-model.md").read_text())
    assert len(named) > 50
    missing = [name for name, dots in named if not any(t.startswith(name) if dots else t == name for t in tests)]
    assert missing == []


def test_the_status_fields_that_pages_read_exist() -> None:
    """kubectl prints nothing for a field that no status has, so a page that misspells one would mislead."""
    by_short_name = {short: kind for kind in KINDS.values() for short in kind.short_names}
    lines = [line for page in pages() for line in page.read_text().splitlines() if "kubectl get" in line]
    read = [
        (kind, re.findall(r"\{\.status\.(\w+)", line)) for line in lines for kind in re.findall(r"get (\w+) ", line)
    ]
    asked = {(kind, field) for kind, fields in read for field in fields}
    assert len(asked) > 5
    for kind, field in asked:
        fields = by_short_name[kind].status_model.model_fields
        assert field in {model.alias or name for name, model in fields.items()}, f"{kind}: status.{field}"
