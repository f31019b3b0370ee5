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
        ("firewall", "on", "1"),
        ("firewall", "YES", "True"),
        ("firewall", "off", None),
        ("mtu", "01450", "1450"),
        ("rate", ".5", "0.50"),
        ("rate", "5.", "5"),
        ("rate", "1e3", "1000"),
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


VM = "virtio=BC:24:11:11:11:11"
CT = "name=eth0,hwaddr=BC:24:11:11:11:11,type=veth"


@pytest.mark.parametrize(
    ("kind", "text", "printed"),
    [
        ("qemu", f"{VM},tag=10,bridge=v1,firewall=on", f"{VM},bridge=v1,firewall=1,tag=10"),
        ("qemu", "bridge=v1,model=virtio,macaddr=BC:24:11:11:11:11", f"{VM},bridge=v1"),
        ("qemu", "virtio,macaddr=BC:24:11:11:11:11,bridge=v1", f"{VM},bridge=v1"),
        ("qemu", f",{VM},,link_down=NO,mtu=01450,rate=10.50,", f"{VM},link_down=0,mtu=01450,rate=10.50"),
        ("qemu", f"{VM},host-tunnel=true\n", f"{VM},host-tunnel=1"),
        ("qemu", "virtio=00:00:00:00:00:00,bridge=v1.10", "virtio=00:00:00:00:00:00,bridge=v1.10"),
        (
            "lxc",
            "bridge=v1,name=eth0,hwaddr=bc:24:11:aA:11:11",
            "name=eth0,bridge=v1,hwaddr=bc:24:11:aA:11:11,type=veth",
        ),
        (
            "lxc",
            f"{CT},ip=10.0.0.0/8,gw=10.1.0.1",
            "name=eth0,gw=10.1.0.1,hwaddr=BC:24:11:11:11:11,ip=10.0.0.0/8,type=veth",
        ),
        ("lxc", f"{CT},rate=-1,firewall=TRUE", "name=eth0,firewall=1,hwaddr=BC:24:11:11:11:11,rate=-1,type=veth"),
        ("lxc", f"{CT},ip6=::ffff:10.0.0.1/96", "name=eth0,hwaddr=BC:24:11:11:11:11,ip6=::ffff:10.0.0.1/96,type=veth"),
    ],
)
def test_printed_as_proxmox_prints_it(kind: str, text: str, printed: str) -> None:
    assert NetN.parse(kind, text).refusal() is None
    assert NetN.parse(kind, text).printed() == printed
    assert NetN.parse(kind, printed).differing(NetN.parse(kind, text)) == (
        ("type",) if "type" not in text and kind == "lxc" else ()
    )


@pytest.mark.parametrize(
    ("kind", "text", "refusal"),
    [
        ("qemu", "", "model: missing"),
        ("qemu", "bridge=v1", "model: missing"),
        ("qemu", "foo", "model: 'foo' is not valid"),
        ("qemu", f"{VM},e1000=BC:24:11:22:22:22", "model: set twice"),
        ("qemu", f"{VM},firewall", "model: set twice"),
        ("qemu", f"{VM},macaddr=BC:24:11:11:11:11", "macaddr: set twice"),
        ("qemu", f"{VM},bridge=v1,bridge=v2", "bridge: set twice"),
        ("qemu", f"{VM},bridge=a b", "bridge: 'a b' is not valid"),
        ("qemu", f"{VM},bridge=", "bridge: a key or its value is missing"),
        ("qemu", "virtio=01:24:11:11:11:11", "macaddr: '01:24:11:11:11:11' is not valid"),
        ("qemu", f"{VM},firewall=2", "firewall: '2' is not valid"),
        ("qemu", f"{VM},mtu=65521", "mtu: '65521' is not valid"),
        ("qemu", f"{VM},rate=-1", "rate: '-1' is not valid"),
        ("qemu", f"{VM},tag=0", "tag: '0' is not valid"),
        ("qemu", f"{VM},trunks=10;", "trunks: '10;' is not valid"),
        ("lxc", "eth0", "eth0: a value without a key"),
        ("lxc", "bridge=v1", "name: missing"),
        ("lxc", "name=../x", "name: '../x' is not valid"),
        ("lxc", f"{CT},mtu=1", "mtu: '1' is not valid"),
        ("lxc", f"{CT},trunks=10-20", "trunks: '10-20' is not valid"),
        ("lxc", f"{CT},ip=10.0.0.5", "ip: '10.0.0.5' is not valid"),
        ("lxc", f"{CT},ip=10.0.0.5/7", "ip: '10.0.0.5/7' is not valid"),
        ("lxc", f"{CT},ip=10.0.0.5/255.0.0.0", "ip: '10.0.0.5/255.0.0.0' is not valid"),
        ("lxc", f"{CT},ip6=2001:db8::5/7", "ip6: '2001:db8::5/7' is not valid"),
        ("lxc", f"{CT},gw6=fe80::1%eth0", "gw6: 'fe80::1%eth0' is not valid"),
    ],
)
def test_refused_as_proxmox_refuses_it(kind: str, text: str, refusal: str) -> None:
    assert NetN.parse(kind, text).refusal() == refusal


@pytest.mark.parametrize(
    ("kind", "text", "keys"),
    [
        ("qemu", f"{VM},foo=1,hwaddr=x", ("foo", "hwaddr")),
        ("qemu", f"{VM},host-tunnel=1", ()),
        ("lxc", f"{CT},host-managed=1", ()),
        ("lxc", f"{CT},queues=4", ("queues",)),
    ],
)
def test_keys_that_proxmox_may_learn_are_no_refusal_of_ours(kind: str, text: str, keys: tuple[str, ...]) -> None:
    assert NetN.parse(kind, text).refusal() is None
    assert NetN.parse(kind, text).unknown_keys() == keys
