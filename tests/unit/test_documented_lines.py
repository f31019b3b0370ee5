"""Every command of the documentation is run by a test, or the table says why not."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import replace

import pytest

from tests.documented.lines import NOT_RUN, READING, ROOT, STORIES, Line, chapter, lines, unmarked
from tests.documented.shell import pipe

LINES = lines()
#: What the stories have a program for; any other needs one there, or a reason in NOT_RUN.
RUN = {
    "./next-step", "curl", "dot", "export", "git", "grep", "helm", "jq", "kubectl", "mkdir", "openssl",
    "pve-evpn", "pvesh", "pveum", "ssh-keygen", "ssh-keyscan",
}  # fmt: skip


def test_commands_are_in_blocks_that_say_so() -> None:
    assert unmarked() == [], "these blocks hold commands: mark them ```console or ```sh"


def test_the_pages_are_read() -> None:
    assert len(LINES) > 150
    by_program = Counter(pipe(line.text)[0][0] for line in LINES)
    assert by_program["kubectl"] > 60
    assert by_program["pve-evpn"] > 20


def test_every_command_is_run_or_there_is_a_reason_not_to() -> None:
    unknown = {line.place: line.text for line in LINES if line.not_run is None and programs(line) - RUN}
    assert unknown == {}, "say in NOT_RUN why these are not run, or give the shell the program"


def programs(line: Line) -> set[str]:
    return {words[0] for words in pipe(line.text)}


@pytest.mark.parametrize("pattern", NOT_RUN)
def test_a_reason_is_still_needed(pattern: str) -> None:
    assert any(re.match(pattern, line.text) for line in LINES)


def test_every_command_is_in_one_story() -> None:
    assert {(line.page, line.section) for line in LINES} >= STORIES.keys()
    told = [line.place for story in {READING, *STORIES.values()} for line in chapter(story)]
    assert Counter(told) == Counter(line.place for line in LINES if line.not_run is None)


def test_make_targets_exist() -> None:
    there = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {shlex.split(line.text)[1] for line in LINES if line.text.startswith("make ")}
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named |= {target for page in pages for target in re.findall(r"`make ([a-z0-9-]+)", page.read_text())}
    assert len(named) > 8
    assert named - there == set()


def test_make_variables_of_the_pages_are_used() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {name for line in LINES if line.text.startswith("make ") for name in re.findall(r"\b([A-Z]+)=", line.text)}
    assert {name for name in named if f"$({name})" not in makefile and f"(or $({name})," not in makefile} == set()


def test_a_new_command_is_noticed() -> None:
    new = replace(LINES[0], text="virsh list | grep vm")
    assert new.not_run is None
    assert programs(new) - RUN == {"virsh"}
