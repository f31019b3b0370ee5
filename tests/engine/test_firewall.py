"""The firewall of a VNet: whole rule sets, in force at once, never less filtering in between than before or after.

The lab takes rules as real Proxmox does: a new one comes first, whatever position is asked for, under a digest of the
rules alone.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from pve_lab.firewall.rules import KnownNames
from tests.engine.world import NET1, Killed, World, cluster, programmed, vnet

RULES = "/cluster/sdn/vnets/net1/firewall/rules"

SSH = {"action": "ACCEPT", "macro": "SSH", "source": "10.0.0.0/8"}
WEB = {"action": "ACCEPT", "proto": "tcp", "dport": "443"}
REST = {"action": "DROP", "log": "info", "comment": "the rest"}


def net1(*rules: dict, **options) -> dict:
    firewall = {"enabled": True, "policyForward": "DROP", **options, "rules": list(rules)}
    return vnet("net1", 5001, "10.1.0.0/24", firewall=firewall)


def rules(world: World) -> list[dict]:
    return world.lab.firewalls["net1"].rules


def firewall_writes(world: World) -> list[tuple[str, str]]:
    return [(method, path) for method, path in world.writes() if "/firewall/" in path]


async def test_options_and_rules_are_written_and_switched_on_last() -> None:
    world = await programmed(net1(SSH, WEB, REST))
    assert world.lab.firewalls["net1"].options == {"enable": 1, "policy_forward": "DROP"}
    assert [rule["action"] for rule in rules(world)] == ["ACCEPT", "ACCEPT", "DROP"]
    assert rules(world)[0] == {
        "type": "forward",
        "action": "ACCEPT",
        "macro": "SSH",
        "source": "10.0.0.0/8",
        "enable": 1,
        "ipversion": 4,
    }
    assert firewall_writes(world)[-1] == ("PUT", "/cluster/sdn/vnets/net1/firewall/options")
    writes = world.writes()
    await world.settle()
    assert world.writes() == writes


async def test_a_changed_rule_set_keeps_what_stays_and_costs_no_apply() -> None:
    world = await programmed(net1(SSH, REST))
    before = len(firewall_writes(world))
    world.apply(net1(SSH, WEB, REST))
    await world.settle()
    assert world.complaints() == []
    assert [rule.get("dport") for rule in rules(world)] == [None, "443", None]
    assert [method for method, _ in firewall_writes(world)[before:]] == ["POST", "PUT", "PUT"]
    assert world.lab.applies == 1
    world.apply(net1())
    await world.settle()
    assert rules(world) == []


async def test_switching_off_comes_before_the_rules_go() -> None:
    world = await programmed(net1(SSH))
    before = len(firewall_writes(world))
    world.apply(net1(enabled=False))
    await world.settle()
    assert [method for method, _ in firewall_writes(world)[before:]] == ["PUT", "DELETE"]


async def test_without_the_section_the_firewall_is_left_alone() -> None:
    world = await programmed()
    world.by_hand("PUT", "/cluster/sdn/vnets/net1/firewall/options", enable="1")
    await world.settle()
    assert world.lab.firewalls["net1"].options == {"enable": 1}
    assert firewall_writes(world) == []


@pytest.mark.parametrize("drift", ["Correct", "Report"])
async def test_a_foreign_rule_is_drift(drift: str) -> None:
    world = await programmed(net1(SSH), drift=drift)
    world.by_hand("POST", "/cluster/sdn/vnets/net1/firewall/rules", type="forward", action="ACCEPT", enable="1")
    await world.settle()
    assert len(rules(world)) == (1 if drift == "Correct" else 2)
    assert world.kube.condition(NET1, "Drifted")["status"] == ("False" if drift == "Correct" else "True")


async def test_a_refused_rule_is_named_and_the_vnet_is_not_programmed() -> None:
    world = await programmed()
    world.apply(net1({"action": "ACCEPT", "macro": "NOPE"}))
    await world.settle()
    reason, message = world.programmed(NET1)
    assert reason == "ApplyFailed"
    assert "unknown macro 'NOPE'" in message
    world.apply(net1(SSH))
    await world.settle()
    assert world.complaints() == []


async def test_paused_and_observed_firewalls_are_not_written() -> None:
    world = await programmed()
    world.apply(cluster(managementPolicy="ObserveOnly"), net1(SSH))
    await world.settle_or_wait()
    assert firewall_writes(world) == []
    assert world.ready(NET1)["status"] == "False"


def drop(source: str, **more) -> dict:
    return {"action": "DROP", "source": source, **more}


A, B, C, D, E = (drop(f"10.0.0.{n}") for n in range(1, 6))


async def write_counted(world: World, *wanted: dict) -> int:
    """How many firewall writes it takes; afterwards everything is as specified, and stays so without a write."""
    before = len(firewall_writes(world))
    world.apply(net1(*wanted))
    await world.settle()
    count = len(firewall_writes(world)) - before
    assert world.complaints() == []
    assert [rule["source"] for rule in rules(world)] == [rule["source"] for rule in wanted]
    assert [rule["enable"] for rule in rules(world)] == [int(rule.get("enabled", True)) for rule in wanted]
    writes = world.writes()
    await world.settle()
    assert world.writes() == writes
    return count


@pytest.mark.parametrize("count", [1, 2, 3, 5])
async def test_a_rule_is_inserted_and_then_switched_on(count: int) -> None:
    world = await programmed()
    assert await write_counted(world, *(A, B, C, D, E)[:count]) == 2 * count + 1, "and the options"


async def test_a_reordered_rule_is_there_twice_for_a_moment() -> None:
    world = await programmed(net1(A, B, C))
    assert await write_counted(world, C, A, B) == len(["insert C", "switch it on", "remove the old C"])


async def test_a_replaced_rule_set_is_complete_before_the_old_one_goes() -> None:
    world = await programmed(net1(A, B))
    assert await write_counted(world, C, D) == len(["insert", "insert", "on", "on", "remove", "remove"])


async def test_a_rule_is_switched_off_and_on_where_it_stands() -> None:
    world = await programmed(net1(A, B))
    assert await write_counted(world, A, {**B, "enabled": False}) == 1
    assert await write_counted(world, A, B) == 1


async def test_foreign_rules_among_ours_are_removed() -> None:
    world = await programmed(net1(A, B, C))
    for source in ("192.0.2.1", "192.0.2.2"):
        world.by_hand("POST", RULES, type="forward", action="ACCEPT", source=source, enable="1")
        world.by_hand("PUT", f"{RULES}/0", moveto="2")
    await world.settle()
    assert await write_counted(world, A, B, C) == 0
    assert [rule["source"] for rule in rules(world)] == [A["source"], B["source"], C["source"]]
    assert len(world.events("Drifted")) == 1


async def test_rules_are_removed_though_none_is_specified() -> None:
    world = await programmed(net1())
    world.by_hand("POST", RULES, type="forward", action="ACCEPT", enable="1")
    await world.settle()
    assert rules(world) == []
    assert world.complaints() == []


async def test_a_macro_in_another_case_is_the_same_macro() -> None:
    world = await programmed()
    assert world.apply(net1({"action": "ACCEPT", "macro": "ssh"}))
    await world.settle()
    assert world.complaints() == []
    assert [rule["macro"] for rule in rules(world)] == ["SSH"]
    assert len(firewall_writes(world)) == 3


async def test_another_clients_rule_does_not_end_up_switched_on_or_moved() -> None:
    """The digest of the rules keeps a PUT from hitting another rule than the one that was read."""
    world = await programmed()
    foreign = {"type": "forward", "action": "ACCEPT", "source": "192.0.2.1", "enable": "0"}
    world.once("before", "PUT", f"{RULES}/0", lambda: world.by_hand("POST", RULES, **foreign))
    assert await write_counted(world, A, B) == len(["insert", "insert", "on", "on", "remove theirs", "options"])


async def test_a_client_that_always_writes_back_is_named_and_not_fought() -> None:
    world = await programmed()

    def meddle(when: str, method: str, path: str) -> None:
        if when == "after" and method in ("POST", "PUT") and path.startswith(RULES):
            world.by_hand("POST", RULES, type="forward", action="ACCEPT", source="192.0.2.1", enable="1")

    world.interrupt = meddle
    world.apply(net1(A, B))
    await world.settle_or_wait()
    reason, message = world.programmed(NET1)
    assert (reason, "another client changes the firewall of net1" in message) == ("ApplyFailed", True)
    writes = len(firewall_writes(world))
    assert writes <= 3
    await world.one_pass()
    assert len(firewall_writes(world)) == writes, "it waits before it tries again"
    world.interrupt = lambda *_: None
    world.now += timedelta(minutes=1)
    await world.settle()
    assert world.complaints() == []


async def test_a_rule_that_proxmox_stores_otherwise_is_taken_back_and_named() -> None:
    """Another release might keep a value in a form that this one does not know."""
    world = await programmed()

    def reword(when: str, method: str, path: str) -> None:
        if (when, method, path) == ("after", "POST", RULES):
            file = world.lab.firewalls["net1"]
            file.text = file.text.replace("10.0.0.1", "10.0.0.1/32")

    world.interrupt = reword
    world.apply(net1(A))
    await world.settle()
    reason, message = world.programmed(NET1)
    assert reason == "ApplyFailed"
    assert "source=10.0.0.1 enable=0) as specified: it made (forward DROP source=10.0.0.1/32" in message
    assert rules(world) == []
    writes = firewall_writes(world)
    await world.one_pass()
    assert firewall_writes(world) == writes, "it waits before it tries again"


async def test_a_rule_whose_alias_is_gone_is_a_problem_and_no_write() -> None:
    world = await programmed()
    world.lab.firewall_names = KnownNames(aliases={"office": "10.9.0.0/16"})
    world.apply(net1(drop("office")))
    await world.settle()
    assert world.complaints() == []
    writes = firewall_writes(world)
    world.lab.firewall_names = KnownNames()
    await world.settle()
    reason, message = world.programmed(NET1)
    assert reason == "ApplyFailed"
    assert "does not use, rule 0 (forward DROP source=office enable=1): source: no such alias 'office'" in message
    assert firewall_writes(world) == writes


async def test_a_refused_rule_is_not_sent_again_with_every_sync() -> None:
    world = await programmed()
    world.apply(net1({"action": "ACCEPT", "macro": "NOPE"}))
    await world.settle()
    sent = lambda: len([path for method, path, _ in world.calls if method == "POST" and path == RULES])  # noqa: E731
    assert sent() == 1
    await world.one_pass()
    assert sent() == 1
    assert "unknown macro 'NOPE'" in world.programmed(NET1)[1]
    world.now += timedelta(minutes=1)
    await world.one_pass()
    assert sent() == 2


async def test_killed_at_any_write_the_next_process_completes_the_rules() -> None:
    for fatal in range(1, 12):
        world = await programmed(net1(A, B))
        count = 0

        def kill(when: str, method: str, path: str, world: World = world, fatal: int = fatal) -> None:
            nonlocal count
            count += when == "after" and method != "GET" and "/firewall/" in path
            if count == fatal:
                world.interrupt = lambda *_: None
                raise Killed

        world.interrupt = kill
        world.apply(net1(C, A, D))
        await world.run_until_killed()
        world.interrupt = lambda *_: None
        await world.settle()
        assert world.complaints() == []
        assert [rule["source"] for rule in rules(world)] == [C["source"], A["source"], D["source"]]
