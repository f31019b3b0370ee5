"""Macros of Proxmox' firewall: what each stands for, and whether a rule contradicts it.

Names and ports are those of pve-firewall. A rule that uses a macro may repeat what the macro says and no more: Proxmox
compares the rule with every line of the macro, so a macro for two protocols takes none of them beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: ``name  protocol [dport [sport]] | ...``
_TABLE = """
Amanda        udp 10080 | tcp 10080
Auth          tcp 113
BGP           tcp 179
BitTorrent    tcp 6881:6889 | udp 6881
BitTorrent32  tcp 6881:6999 | udp 6881
CVS           tcp 2401
Ceph          tcp 6789 | tcp 3300 | tcp 6800:7300
Citrix        tcp 1494 | udp 1604 | tcp 2598
DAAP          tcp 3689 | udp 3689
DCC           tcp 6277
DHCPfwd       udp 67:68 67:68
DNS           udp 53 | tcp 53
Distcc        tcp 3632
FTP           tcp 21
Finger        tcp 79
GNUnet        tcp 2086 | udp 2086 | tcp 1080 | udp 1080
GRE           47
Git           tcp 9418
HKP           tcp 11371
HTTP          tcp 80
HTTPS         tcp 443
ICPV2         udp 3130
ICQ           tcp 5190
IMAP          tcp 143
IMAPS         tcp 993
IPIP          94
IPsec         udp 500 500 | 50
IPsecah       udp 500 500 | 51
IPsecnat      udp 500 | udp 4500 | 50
IRC           tcp 6667
Jetdirect     tcp 9100
L2TP          udp 1701
LDAP          tcp 389
LDAPS         tcp 636
MDNS          udp 5353
MSNP          tcp 1863
MSSQL         tcp 1433
Mail          tcp 25 | tcp 465 | tcp 587
Munin         tcp 4949
MySQL         tcp 3306
NNTP          tcp 119
NNTPS         tcp 563
NTP           udp 123
OSPF          89
OpenVPN       udp 1194
PCA           udp 5632 | tcp 5631
PMG           tcp 8006
POP3          tcp 110
POP3S         tcp 995
PPtP          47 | tcp 1723
Ping          icmp echo-request
PostgreSQL    tcp 5432
Printer       tcp 515
RDP           tcp 3389
RIP           udp 520
RNDC          tcp 953
Razor         tcp 2703
Rdate         tcp 37
Rsync         tcp 873
SANE          tcp 6566
SMB           udp 135,445 | udp 137:139 | udp 1024:65535 137 | tcp 135,139,445
SMBswat       tcp 901
SMTP          tcp 25
SMTPS         tcp 465
SNMP          udp 161:162 | tcp 161
SPAMD         tcp 783
SPICEproxy    tcp 3128
SSH           tcp 22
SVN           tcp 3690
SixXS         tcp 3874 | udp 3740 | 41 | udp 5072,8374
Squid         tcp 3128
Submission    tcp 587
Syslog        udp 514 | tcp 514
TFTP          udp 69
Telnet        tcp 23
Telnets       tcp 992
Time          tcp 37
Trcrt         udp 33434:33524 | icmp echo-request
VNC           tcp 5900:5999
VNCL          tcp 5500
Web           tcp 80 | tcp 443
Webcache      tcp 8080
Webmin        tcp 10000
Whois         tcp 43
"""
#: What stands instead when a rule is known to be for IPv6. Those that are not in the first table are for IPv6 alone.
_TABLE_V6 = """
DHCPv6             udp 546:547 546:547
NeighborDiscovery  icmpv6 router-solicitation | icmpv6 router-advertisement | icmpv6 neighbor-solicitation\
 | icmpv6 neighbor-advertisement
Ping               icmpv6 echo-request
Trcrt              udp 33434:33524 | icmpv6 echo-request
"""
_KEYS = ("proto", "dport", "sport")


@dataclass(frozen=True)
class Macro:
    """One macro: what its lines give to ``proto``, ``dport`` and ``sport``."""

    name: str
    lines: tuple[Mapping[str, str], ...]
    only_v6: bool = False


def _read(table: str) -> dict[str, tuple[Mapping[str, str], ...]]:
    found: dict[str, tuple[Mapping[str, str], ...]] = {}
    for row in table.strip().splitlines():
        name, lines = row.split(None, 1)
        found[name] = tuple(dict(zip(_KEYS, line.split(), strict=False)) for line in lines.split("|"))
    return found


_PLAIN, _V6 = _read(_TABLE), _read(_TABLE_V6)
MACROS = {
    name: Macro(name, _PLAIN.get(name) or _V6[name], only_v6=name not in _PLAIN) for name in sorted({*_PLAIN, *_V6})
}
_BY_LOWER = {name.lower(): name for name in MACROS}


def canonical(name: str) -> str | None:
    """The name in Proxmox' own spelling, which is the one that is stored; None if there is no such macro."""
    return _BY_LOWER.get(name.lower())


def contradiction(name: str, rule: Mapping[str, str], version: int | None) -> tuple[str, str] | None:
    """The first property of the rule that says something else than the macro, with Proxmox' text.

    ``version`` is the rule's IP version where it has one; a macro for the other version is not compared at all.
    """
    macro = MACROS[name]
    if version == 4 and macro.only_v6:
        return None
    for line in _V6.get(name, macro.lines) if version == 6 else macro.lines:
        for key in _KEYS:
            if key in rule and key in line and rule[key] != line[key]:
                return key, f"parameter '{key}' already define in macro (value = '{line[key]}')"
    return None
