"""netN strings: nothing is lost, nothing is moved, the MAC never changes by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pve_evpn.domain.nics.netn import MODELS, NetN, new_lxc, new_qemu, same

KINDS = st.sampled_from(["qemu", "lxc"])
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":").upper())
WORDS = st.text("abcdefgh0123456789.:;-/_", min_size=1, max_size=12)
#: Keys Proxmox may learn one day, beside those it knows.
KEYS = st.one_of(
    st.sampled_from(["bridge", "firewall", "tag", "trunks", "mtu", "queues", "rate", "link_down", "host-managed"]),
    st.text("xyz", min_size=4, max_size=6),
)


@st.composite
def nics(draw, kind=None):
    """A NIC as Proxmox could have it, in any order: model and MAC in one of the three spellings."""
    kind = kind or draw(KINDS)
    fields = [f"{key}={draw(WORDS)}" for key in draw(st.lists(KEYS, unique=True, max_size=6))]
    mac, model = draw(MACS), draw(st.sampled_from(sorted(MODELS)))
    spellings = [[f"{model}={mac}"], [model, f"macaddr={mac}"], [f"model={model}", f"macaddr={mac}"]]
    own = draw(st.sampled_from(spellings)) if kind == "qemu" else ["name=eth0", f"hwaddr={mac}", "type=veth"]
    parts = draw(st.permutations(own + fields))
    return NetN.parse(kind, ",".join(parts)), mac


@given(KINDS, st.text(max_size=200))
def test_any_string_is_rendered_back_as_it_was(kind: str, text: str) -> None:
    assert NetN.parse(kind, text).render() == text


@given(nics(), st.dictionaries(KEYS, st.none() | WORDS, max_size=5))
def test_changing_fields_leaves_all_others_in_their_place(made, changes) -> None:
    before, mac = made
    after = NetN.parse(before.kind, before.with_fields(changes).render())
    for key, value in changes.items():
        assert after.get(key) == value
    assert after.get("mac") == mac
    kept = [part for part in before.parts if part[0] not in changes]
    assert [part for part in after.parts if part[0] not in changes] == kept
    positions = [key for key, _ in before.parts if key not in changes or changes[key] is not None]
    assert [key for key, _ in after.parts][: len(positions)] == positions


@given(nics(), MACS)
def test_a_new_mac_replaces_the_old_one_wherever_it_stands(made, mac: str) -> None:
    before, old = made
    after = before.with_fields({"mac": mac})
    assert after.get("mac") == mac
    assert after.render().count(":") == before.render().count(":")
    assert old == mac or old not in after.render()
    assert len(after.parts) == len(before.parts)


@given(nics("qemu"), st.sampled_from(sorted(MODELS)))
def test_a_new_model_keeps_the_mac(made, model: str) -> None:
    before, mac = made
    after = before.with_fields({"model": model})
    assert (after.get("model"), after.get("mac")) == (model, mac)
    assert len(after.parts) == len(before.parts)


@given(nics(), st.dictionaries(KEYS, WORDS, max_size=5))
def test_what_differs_is_what_was_changed(made, changes) -> None:
    before, _ = made
    after = before.with_fields(changes)
    assert set(before.differing(after)) <= changes.keys()
    assert before.differing(after) == after.differing(before) or set(before.differing(after)) == set(
        after.differing(before)
    )
    assert before.with_fields({key: after.get(key) for key in before.differing(after)}).differing(after) == ()


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("mac", "BC:24:11:00:00:0A", "bc:24:11:00:00:0a"),
        ("firewall", "0", None),
        ("link_down", None, "0"),
        ("queues", "0", None),
        ("rate", "10", "10.0"),
        ("trunks", "1;2;3", "1-3"),
        ("ip6", "FD00::1/64", "fd00:0:0::1/64"),
    ],
)
def test_spellings_of_the_same(key: str, one: str | None, other: str | None) -> None:
    assert same(key, one, other)
    assert same(key, other, one)


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("firewall", "1", None),
        ("mtu", "1", None),
        ("rate", "10", "10.5"),
        ("trunks", "1;2", "1-3"),
        ("ip", "10.0.0.1/24", "10.0.0.1/16"),
        ("ip", "dhcp", "manual"),
        ("bridge", "EVPN1", "evpn1"),
        ("rate", "fast", None),
    ],
)
def test_different_things_stay_different(key: str, one: str | None, other: str | None) -> None:
    assert not same(key, one, other)


def test_a_new_nic_is_what_proxmox_takes() -> None:
    assert new_qemu("virtio", None).with_fields({"bridge": "EVPN1"}).render() == "virtio,bridge=EVPN1"
    assert new_qemu("e1000", "BC:24:11:00:00:01").render() == "e1000=BC:24:11:00:00:01"
    assert new_lxc("eth1", None).with_fields({"bridge": "EVPN1"}).render() == "name=eth1,type=veth,bridge=EVPN1"
