"""What a person does on the page, in a real browser, against a real operator."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack
from tests.ui.conftest import Command

pytestmark = pytest.mark.browser
MAC = "bc:24:11:11:11:11"
SERIOUS = {"serious", "critical"}


@pytest.fixture
def seed(stack: Stack) -> list[dict]:
    made = stack.seed()
    stack.apply(*made)
    stack.await_ready(*made)
    return made


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def serious(page: Page) -> list[str]:
    return [
        f"{found['id']}: {node['target']} {node['failureSummary']}"
        for found in Axe().run(page).response["violations"]
        if found["impact"] in SERIOUS
        for node in found["nodes"]
    ]


def test_the_seed_topology_is_seen_found_changed_and_approved(
    stack: Stack, seed: list[dict], page: Page, command: Command, tmp_path: Path
) -> None:
    cluster, _, _, vnet, _ = seed
    expect(page.locator("#summary")).to_contain_text("objects are Ready")
    assert "#" not in page.url  # the secret has left the address bar

    # The search lights the path up, and shows the trace.
    page.get_by_label("Find").fill("BC-24-11-11-11-11")
    page.get_by_label("Find").press("Enter")
    chosen = page.get_by_role("tabpanel", name="Chosen")
    expect(chosen).to_contain_text(MAC)
    expect(chosen).to_contain_text("HOW EACH NODE HAS ITS VNI")
    page.get_by_label("Find").fill("00:00:00:00:00:01")
    page.get_by_role("button", name="Find").click()
    expect(chosen).to_contain_text("no NicAttachment has this MAC")

    # A VNet is opened from its table, by keyboard.
    tab(page, "VNets")
    row = page.get_by_role("tabpanel", name="VNets").get_by_role("button", name="evpn1")
    row.focus()
    row.press("Enter")
    expect(chosen).to_contain_text("VNet default/evpn1")
    expect(chosen).to_contain_text("CONDITIONS")

    # A change that waits appears by itself, and is approved here.
    stack.apply({**cluster, "spec": {**cluster["spec"], "apply": {"policy": "Manual"}}})
    named = {**vnet, "spec": {**vnet["spec"], "alias": "named on the page"}}
    stack.apply(named)
    expect(page.get_by_role("tab", name="Plan (1)")).to_be_visible()
    tab(page, "Plan")
    plan = page.locator("[data-plan]")
    expect(plan).to_contain_text("alias")
    page.screenshot(path=tmp_path / "plan.png")
    page.once("dialog", lambda dialog: dialog.dismiss())
    plan.get_by_role("button", name="Approve this plan").click()
    assert "pve-evpn.dev/approved-plan" not in (stack.get(cluster)["metadata"].get("annotations") or {})
    page.once("dialog", lambda dialog: dialog.accept())
    plan.get_by_role("button", name="Approve this plan").click()
    stack.await_ready(named)
    expect(page.get_by_role("tab", name="Plan", exact=True)).to_be_visible()

    # The timeline has the transaction.
    tab(page, "Timeline")
    expect(page.get_by_role("tabpanel", name="Timeline")).to_contain_text("Applied")
    stack.apply(cluster)
    assert command.secret not in command.output.read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_accessible(seed: list[dict], page: Page, theme: str) -> None:
    page.get_by_label("Theme").select_option(theme)
    expect(page.locator("#summary")).to_contain_text("objects are Ready")
    for name in ("Problems", "Plan", "Timeline", "Zones", "VNets", "NICs", "Nodes", "Chosen"):
        tab(page, name)
        assert serious(page) == [], name


def test_the_keyboard_reaches_everything(seed: list[dict], page: Page) -> None:
    expect(page.locator("#summary")).to_contain_text("objects are Ready")
    page.get_by_role("tab", name="Problems").focus()
    for name in ("Plan", "Timeline", "Zones"):
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    page.get_by_role("application").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#chosen")).to_contain_text("Chosen:")


def test_a_problem_is_shown_with_its_remedy(stack: Stack, seed: list[dict], page: Page) -> None:
    lost = {**seed[3], "metadata": {"name": "lost", "namespace": "default"}}
    lost["spec"] = {**seed[3]["spec"], "id": "lost", "vni": 7, "zoneRef": {"name": "ezone2"}}
    stack.apply(lost)
    problems = page.get_by_role("tabpanel", name="Problems")
    expect(problems).to_contain_text("EvpnZone ezone2")
    tab(page, "VNets")
    page.get_by_role("tabpanel", name="VNets").get_by_role("button", name="lost").click()
    expect(page.get_by_role("tabpanel", name="Chosen")).to_contain_text("WHAT TO DO")
    expect(page.get_by_role("tabpanel", name="Chosen")).to_contain_text("is EvpnZone ezone1 meant?")
    stack.delete(lost)
    tab(page, "Problems")
    expect(problems).not_to_contain_text("ezone2")
    expect(page.get_by_role("tab", name="Problems", exact=True)).to_be_visible()
