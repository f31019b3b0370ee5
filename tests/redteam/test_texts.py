"""Texts from outside on their way into statuses, Events and logs."""

from __future__ import annotations

import pytest

from pve_evpn.text import LONGEST, from_outside

pytestmark = pytest.mark.redteam

TOKEN = "12345678-1234-1234-1234-123456789abc"


@pytest.mark.parametrize("before", [0, LONGEST - 10, 4 * LONGEST - 10, 4 * LONGEST - 1])
def test_no_part_of_a_secret_is_left_where_a_text_is_cut(before: int) -> None:
    for filling in (" ", "x", "\n"):
        assert TOKEN[:4] not in from_outside(filling * before + TOKEN, (TOKEN,))
