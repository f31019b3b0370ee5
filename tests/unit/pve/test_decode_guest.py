"""A guest's configuration from its ``pending`` list: what will be, what is until then, and what guards a write."""

from __future__ import annotations

from pve_evpn.domain.state import GuestState
from pve_evpn.pve.decode import guest_config

FOUND = GuestState(100, "qemu", "pve1", lock="seen in a list some time ago")


def test_what_is_pending_counts_and_what_is_live_is_kept_beside_it() -> None:
    rows = [
        {"key": "net0", "value": "virtio=AA,bridge=vmbr0", "pending": "e1000=AA,bridge=vmbr0"},
        {"key": "net1", "pending": "virtio=BB,bridge=vmbr0"},
        {"key": "net2", "value": "virtio=CC,bridge=vmbr0", "delete": 1},
        {"key": "net3", "value": "virtio=DD,bridge=vmbr0"},
        {"key": "memory", "value": "512", "pending": "1024"},
        {"key": "netbios", "value": "x"},
        {"key": "digest", "value": "abc"},
    ]
    read = guest_config(FOUND, rows)
    assert read.nics == {
        "net0": "e1000=AA,bridge=vmbr0",
        "net1": "virtio=BB,bridge=vmbr0",
        "net3": "virtio=DD,bridge=vmbr0",
    }
    assert read.pending == {"net0": "virtio=AA,bridge=vmbr0", "net1": None, "net2": "virtio=CC,bridge=vmbr0"}
    assert (read.digest, read.lock) == ("abc", "")


def test_the_configuration_knows_of_a_lock_better_than_a_list() -> None:
    assert guest_config(FOUND, [{"key": "lock", "value": "backup"}]).lock == "backup"


def test_a_guest_without_nics_is_not_one_that_could_not_be_read() -> None:
    assert guest_config(FOUND, []).nics == {}
