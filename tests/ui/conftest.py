"""A real operator, `pve-evpn ui` beside it, and its page in Debian's Chromium.

The browser's profile is new for each test. Whatever the page writes to the console, or fails to load, fails the test.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.conftest import stack
from tests.e2e.process import ROOT
from tests.e2e.stack import Stack

__all__ = ["stack"]
CHROMIUM = Path("/usr/bin/chromium")


@dataclass(frozen=True)
class Command:
    """A running `pve-evpn ui`, the address it printed, and the file with all that it wrote."""

    process: subprocess.Popen[str]
    address: str
    output: Path

    @property
    def secret(self) -> str:
        return self.address.partition("#")[2]


@pytest.fixture
def command(stack: Stack, tmp_path: Path) -> Iterator[Command]:
    output = tmp_path / "output"
    environment = {**stack.plane.environment, "PYTHONPATH": str(ROOT / "operator"), "PYTHONUNBUFFERED": "1"}
    with output.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "pve_evpn", "ui", "--no-browser"],
            stdout=subprocess.PIPE, stderr=errors, text=True, env=environment,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+/#\S+", line)
            assert found, f"{line!r} {output.read_text()}"
            yield Command(process, found[0], output)
        finally:
            process.terminate()
            assert process.wait(timeout=10) == 0, output.read_text()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.fail("Chromium is missing: make e2e-ui installs Debian's")
    with sync_playwright() as playwright:
        # A container's root has no user namespaces for Chromium's sandbox.
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, command: Command) -> Iterator[Page]:
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1500, "height": 900}, color_scheme="light")
    made = context.new_page()
    made.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    made.on("pageerror", lambda error: complaints.append(str(error)))
    made.on("requestfailed", lambda request: complaints.append(f"{request.url} failed"))
    made.set_default_timeout(20_000)
    made.goto(command.address)
    yield made
    seen = list(complaints)  # closing ends the stream, which is a failed request
    context.close()
    assert seen == []
