"""Who holds the SDN lock, by what is known of it, and what speaks against removing it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pve_evpn.api.cluster import LockStatus
from pve_evpn.cli import output
from pve_evpn.cli.report.lock import Holder, LockSeen, lock_report, taken_at
from pve_evpn.engine.journal import JournalEntry

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
#: Taken at 2026-11-28 11:00:00, as a UUID of version 7 has it.
TOKEN = f"{int((NOW - timedelta(hours=1)).timestamp() * 1000):012x}"
TOKEN = f"{TOKEN[:8]}-{TOKEN[8:]}-7000-b000-000000000000"
OTHER = LockStatus(holder="Other", since=NOW - timedelta(minutes=20))


def seen(**known: Any) -> LockSeen:
    return LockSeen("pve", NOW, **{"held": True, "journal": JournalEntry(), "journal_name": "Secret x/y", **known})


def asked(seconds: int) -> JournalEntry:
    return JournalEntry(lock_requested_at=int(NOW.timestamp()) - seconds)


@pytest.mark.parametrize(
    ("known", "holder", "objection"),
    [
        ({"held": False, "status": OTHER}, Holder.FREE, ""),
        ({"held": False, "journal": None}, Holder.FREE, ""),
        ({}, Holder.OTHER, ""),
        ({"held": None, "status": OTHER}, Holder.OTHER, ""),
        ({"held": None}, Holder.UNKNOWN, ""),
        ({"journal": JournalEntry(lock_token=TOKEN)}, Holder.OPERATOR, "gives it back by itself"),
        ({"journal": asked(20)}, Holder.OPERATOR, "gives it back by itself"),
        ({"journal": asked(600)}, Holder.LOST, ""),
        ({"journal": None, "status": OTHER}, Holder.UNKNOWN, "Secret x/y cannot be read"),
        ({"reloads": ("srvreload on pve1 by root@pam",)}, Holder.OTHER, "in the middle of an apply: srvreload on pve1"),
    ],
    ids=str,
)
def test_who_holds_it_and_whether_it_may_be_removed(known: dict[str, Any], holder: Holder, objection: str) -> None:
    found = seen(**known)
    assert found.holder is holder
    assert bool(found.objections) is bool(objection)
    assert objection in " ".join(found.objections)
    assert ("--release" in output.rendered(lock_report(found), "text")) is (
        holder not in (Holder.FREE, Holder.OPERATOR)
    )


@pytest.mark.parametrize(
    ("known", "since"),
    [
        ({"status": OTHER}, OTHER.since),
        ({"journal": JournalEntry(lock_token=TOKEN)}, NOW - timedelta(hours=1)),
        ({"journal": asked(600)}, NOW - timedelta(minutes=10)),
        ({"held": False, "status": OTHER}, None),
        ({}, None),
    ],
    ids=str,
)
def test_since_when(known: dict[str, Any], since: datetime | None) -> None:
    assert seen(**known).since == since


def test_a_token_of_another_form_has_no_time() -> None:
    assert taken_at("no-uuid") is None


def test_the_token_is_not_printed() -> None:
    report = lock_report(seen(journal=JournalEntry(lock_token=TOKEN)))
    assert all(TOKEN not in output.rendered(report, form) for form in ("text", "json", "yaml", "markdown"))
