"""Every command of the documentation, and why some are not run by the tests.

A command stands in a block of ``console``, ``sh`` or ``bash``, in the chart's NOTES, or as an indented comment of an
example. In a ``console`` block, ``$`` is a user's prompt and ``#`` that of root on a Proxmox node; what follows is
output. A ``console`` block without a prompt has commands only.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Programs that a command begins with. A block without a language must hold none of them.
PROGRAMS = (
    "bridge", "curl", "diff", "docker", "export", "for", "git", "helm", "ifreload", "ip", "journalctl", "kubectl", "ls",
    "make", "mkdir", "openssl", "ping", "pipx", "pve-evpn", "pvesh", "pveum", "qm", "scp", "ssh", "ssh-keygen",
    "ssh-keyscan", "systemctl", "uv", "vtysh",
)  # fmt: skip
_A_COMMAND = re.compile(rf"((?:\w+=\S+ )*(?:{'|'.join(PROGRAMS)}))(?= (?!/ ))")
_A_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.S | re.M)
_SHELL = ("console", "sh", "shell", "bash")

#: What no test runs as it is printed, and why. Everything else is run (tests/helm/test_documented_commands.py).
NOT_RUN = {
    r"make ": "it is held to the Makefile's targets",
    r"docker ": "it needs Docker and a registry; tests/image builds the same Dockerfile",
    r"uv tool install ": "it would install for the user; tests/image installs the wheel",
    r"pve-evpn ui$": "it runs until it is interrupted; tests/ui has it in a browser",
    r"pve-evpn routes .* --full$": "replicas on one machine share port 8443; tests/e2e/test_full_tables.py runs it",
    r"kubectl .* port-forward |curl .*:8443/": "there is no kubelet; tests/e2e/test_full_tables.py asks that port",
    r"helm upgrade \.\.\.$": "the dots stand for the command above it, which is run",
    r"(vtysh|bridge|ip|ping|systemctl|journalctl|ifreload|qm|ls|diff) ": "it is a node's own program, shown to people",
    r"for n in .* scp |ssh ": "it needs a node's sshd; tests/frr has the helpers behind one",
}
#: Pages and sections that are a story of their own; all others are run on the seed.
READING = "reading"
STORIES = {
    ("README.md", "Install it"): "first path",
    ("docs/upgrade.md", "Upgrade"): "upgrade",
    ("docs/upgrade.md", "Before a large step"): "upgrade",
    ("docs/uninstall.md", "To take networks away as well"): "remove everything",
    ("docs/install.md", "With Helm"): "install",
    ("docs/uninstall.md", "To leave networks and take everything else away"): "leave networks",
    ("docs/install.md", "Without Helm"): "without Helm",
    ("docs/import.md", "1. Export, two minutes"): "import",
    ("docs/import.md", "2. Observe, three minutes"): "import",
    ("docs/import.md", "3. Take over, five minutes"): "import",
    ("docs/uninstall.md", "A deletion that does not end"): "stuck deletion",
    ("docs/install.md", "From the source"): "other charts",
    ("charts/pve-evpn-operator/README.md", "Helm chart of pve-evpn-operator"): "other charts",
    ("docs/proxmox-access.md", "Access to Proxmox VE"): "access",
}


@dataclass(frozen=True)
class Line:
    """One command as it is printed, on one line, without its prompt."""

    page: str
    number: int
    section: str
    text: str
    output: list[str] = field(default_factory=list, compare=False)

    @property
    def place(self) -> str:
        """For messages: ``docs/cli.md:12``."""
        return f"{self.page}:{self.number}"

    @property
    def not_run(self) -> str | None:
        """Why no test runs it; None where one does."""
        return next((reason for pattern, reason in NOT_RUN.items() if re.match(pattern, self.text)), None)


def chapter(story: str) -> list[Line]:
    """The commands of one story that are run, in the order of their pages."""
    found = [line for line in lines() if STORIES.get((line.page, line.section), READING) == story]
    return [line for line in found if line.not_run is None]


def notes(text: str) -> list[Line]:
    """The commands of the chart's notes, as Helm printed them."""
    block = text.partition("NOTES:")[2].splitlines()
    commands = [line.strip() if line.startswith("  ") else "" for line in block]
    return list(_of_block("NOTES.txt", "", 1, commands, prompts=False))


def pages() -> list[Path]:
    """Pages whose blocks are read."""
    found = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    return [*found, *sorted(path for name in ("docs", "examples", "charts") for path in (ROOT / name).rglob("*.md"))]


def lines() -> list[Line]:
    """All of them, in the order of their pages."""
    found = [line for page in pages() for line in _of_page(page)]
    examples = [path for path in sorted((ROOT / "examples").rglob("*.y*ml")) if path.parent.name != "ci"]
    return [*found, *(line for path in examples for line in _of_comments(path))]


def unmarked() -> list[str]:
    """Places of blocks without a language, and of indented blocks, that hold a command."""
    found = []
    for page in pages():
        for start, language, block in _blocks(page.read_text()):
            if language not in _SHELL:
                found += [
                    f"{_name(page)}:{start + n}" for n, text in enumerate(block) if _A_COMMAND.match(text.strip())
                ]
        for number, text in enumerate(page.read_text().splitlines(), 1):
            if re.match(r" {4,}", text) and _A_COMMAND.match(text.strip()) and not _in_a_block(page, number):
                found.append(f"{_name(page)}:{number}")
    return found


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _blocks(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """First line's number, language and lines of each fenced block."""
    for match in _A_BLOCK.finditer(text):
        yield text.count("\n", 0, match.start(3)) + 1, match[2], match[3].splitlines()


def _in_a_block(page: Path, number: int) -> bool:
    return any(start <= number < start + len(block) for start, _language, block in _blocks(page.read_text()))


def _of_page(page: Path) -> Iterator[Line]:
    text = page.read_text()
    for start, language, block in _blocks(text):
        if language in _SHELL:
            before = "\n".join(text.splitlines()[: start - 2]) + "\n"
            section = re.findall(r"^#+ (.*)$", _A_BLOCK.sub("", before), re.M)[-1]
            yield from _of_block(_name(page), section, start, block, prompts=language == "console")


def _of_block(page: str, section: str, start: int, block: list[str], *, prompts: bool) -> Iterator[Line]:
    bare = [text.strip() for text in block]
    prompts = prompts and any(_prompted(text) for text in bare)
    at = 0
    while at < len(bare):
        number, text = start + at, bare[at]
        at += 1
        if prompts and not _prompted(text):
            continue  # output before the first command: the README's dots
        if not prompts and (not text or text.startswith("#")):
            continue
        text = text[2:] if prompts else text
        while at < len(bare) and not _whole(text):
            text = f"{text.removesuffix(chr(92)).rstrip()} {bare[at]}"
            at += 1
        output = []
        while prompts and at < len(bare) and not _prompted(bare[at]):
            output.append(bare[at])
            at += 1
        yield Line(page, number, section, _without_comment(text), output)


def _of_comments(path: Path) -> Iterator[Line]:
    """Commands in an example's comments, which stand out by two spaces or more."""
    texts = [
        re.sub(r"^# {2,}", "", text) if re.match(r"# {2,}", text) else "" for text in path.read_text().splitlines()
    ]
    at = 0
    while at < len(texts):
        number, text = at + 1, texts[at]
        at += 1
        if not _A_COMMAND.match(text):
            continue
        while not _whole(text):
            text = f"{text.removesuffix(chr(92)).rstrip()} {texts[at].strip()}"
            at += 1
        yield Line(_name(path), number, path.name, _without_comment(text))


def _prompted(text: str) -> bool:
    return text.startswith("$ ") or (text.startswith("# ") and bool(_A_COMMAND.match(text[2:])))


def _whole(text: str) -> bool:
    """Whether a command ends here: no backslash, no open quote, no loop without its end."""
    if text.endswith("\\") or (text.startswith("for ") and "done" not in text):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _without_comment(text: str) -> str:
    """Without what follows ``#`` after a space outside of quotes."""
    lexer = shlex.shlex(text, posix=False, punctuation_chars=False)
    lexer.whitespace_split, lexer.commenters = True, ""
    words = list(lexer)
    if "#" not in words:
        return text
    place = -1
    for word in words[: words.index("#")]:
        place = text.index(word, place + 1) + len(word) - 1
    return text[: place + 1]
