"""Texts from outside on their way into statuses, Events and logs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pve_evpn import logs
from pve_evpn.text import LONGEST, from_outside, one_line
from pve_lab.guests import Guest
from tests.engine.world import NET1, programmed

pytestmark = pytest.mark.redteam

TOKEN = "12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize("before", [0, LONGEST - 10, 4 * LONGEST - 10, 4 * LONGEST - 1])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(before: int) -> None:
    for filling in (" ", "x", "\n"):
        assert TOKEN[:4] not in from_outside(filling * before + TOKEN, (TOKEN,))


EVIL = "\x1b[31mred\u202e\nsecond\r\tline\x00\x9b\u2028third"


async def test_whatever_proxmox_names_reaches_statuses_and_events_on_one_line() -> None:
    """Names and values in answers, not only texts of errors."""
    world = await programmed(observe={"sources": ["api"]})
    world.lab.guests[100] = Guest(100, "qemu", "pve1", EVIL, {"net0": "virtio=BC:24:11:00:00:01,bridge=net1"})
    for copy in (world.lab.sdn.running, world.lab.sdn.edited):
        copy["vnets"]["net1"]["alias"] = EVIL
    await world.settle_or_wait()
    world.kube.delete(NET1)
    await world.settle_or_wait()
    texts = [*strings(list(world.kube.objects.values())), *(event.message for event in world.kube.events)]
    assert "red" in "".join(texts)
    assert [text for text in texts if not text.isprintable()] == []


def strings(value: Any) -> Iterator[str]:
    """All texts in objects as Kubernetes has them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def test_a_line_of_the_log_has_no_escape_sequences() -> None:
    record = logs._one_line(None, "info", {"event": f"Proxmox says {EVIL}", "cluster": EVIL})
    assert all(str(text).isprintable() for text in record.values())


@pytest.mark.parametrize("text", ["", " two  blanks ", "üß 東京", "a | b"])
def test_a_text_without_them_stays_as_it_is(text: str) -> None:
    assert one_line(text) == text
