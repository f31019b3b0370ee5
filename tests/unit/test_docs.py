"""The documentation leads somewhere: links have ends, pages are in the index and say for whom they are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

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
