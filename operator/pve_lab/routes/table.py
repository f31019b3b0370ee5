"""Every route of the lab: method, path, handler, and for the measured branches parameters and privileges.

What comes ``from_apidoc`` has its parameters and privileges from the API schema. Of two routes that fit a request the
first one counts.
"""

from __future__ import annotations

from pve_lab.access import Permission
from pve_lab.releases import V90, V91
from pve_lab.route import Route, from_apidoc
from pve_lab.routes import (
    access,
    cluster,
    datacenter_firewall,
    fabrics,
    firewall,
    guests,
    node_sdn,
    nodes,
    prefix_lists,
    route_maps,
    sdn,
    tasks,
)
from pve_lab.sdn import parameters

_USER_ADMIN = Permission("/access/groups", ("User.Modify",))
_USER_AUDIT = Permission("/access/groups", ("User.Modify", "Sys.Audit"), any_of=True)


def _allocate(path: str) -> Permission:
    return Permission(path, ("SDN.Allocate",))


_CONTROLLERS = _allocate("/sdn/controllers")
_FABRIC, _FABRIC_NODE = "/cluster/sdn/fabrics/fabric", "/cluster/sdn/fabrics/node"
_MAPS, _LISTS = "/cluster/sdn/route-maps", "/cluster/sdn/prefix-lists"
_MAP_ENTRY = _MAPS + "/entries/{route-map-id}/entry/{order}"
_LIST_ENTRY = _LISTS + "/{id}/entries/{url_seq}"
_CONTROLLER = "/cluster/sdn/controllers/{controller}"
_VNET = "/cluster/sdn/vnets/{vnet}"
_SUBNET = _VNET + "/subnets/{subnet}"
_TASK = "/nodes/{node}/tasks/{upid}"
_VM, _CONTAINER = "/nodes/{node}/qemu/{vmid}", "/nodes/{node}/lxc/{vmid}"
_TOKEN = "/access/users/{userid}/token/{tokenid}"

_ACCESS = (
    Route("GET", "/access/acl", access.acl, {}),
    Route("PUT", "/access/acl", access.update_acl, access.ACL),
    Route("GET", "/access/permissions", access.permissions, access.PERMISSIONS),
    Route("GET", "/access/roles", access.roles, {}),
    Route("POST", "/access/roles", access.create_role, access.NEW_ROLE, Permission("/access", ("Sys.Modify",))),
    from_apidoc("GET", "/access/ticket", access.no_ticket),
    from_apidoc("POST", "/access/ticket", access.log_in),
    Route("GET", "/access/users", access.users, access.USERS),
    Route("POST", "/access/users", access.create_user, access.NEW_USER, _USER_ADMIN),
    Route("GET", "/access/users/{userid}", access.user, access.USER, _USER_AUDIT),
    Route("GET", _TOKEN, access.token, access.TOKEN),
    Route("POST", _TOKEN, access.create_token, access.NEW_TOKEN),
    Route("DELETE", _TOKEN, access.delete_token, access.TOKEN),
)

_CLUSTER = (
    from_apidoc("GET", "/version", cluster.version),
    from_apidoc("GET", "/cluster/nextid", cluster.next_id),
    from_apidoc("GET", "/cluster/resources", cluster.resources),
    from_apidoc("GET", "/cluster/status", cluster.cluster_status),
    from_apidoc("GET", "/cluster/tasks", tasks.recent),
    from_apidoc("GET", "/nodes", cluster.nodes),
)

_SDN = (
    Route("GET", "/cluster/sdn", sdn.index, {}, Permission("/sdn", ("SDN.Audit",))),
    Route("PUT", "/cluster/sdn", sdn.apply, sdn.RELEASE, _allocate("/sdn")),
    Route("POST", "/cluster/sdn/lock", sdn.lock, sdn.LOCK, _allocate("/sdn"), V90),
    Route("DELETE", "/cluster/sdn/lock", sdn.unlock, sdn.UNLOCK, _allocate("/sdn"), V90),
    Route("POST", "/cluster/sdn/rollback", sdn.rollback, sdn.RELEASE, _allocate("/sdn"), V90),
    # Controllers
    Route("GET", "/cluster/sdn/controllers", sdn.CONTROLLERS.listing, sdn.CONTROLLERS.filters),
    Route("POST", "/cluster/sdn/controllers", sdn.CONTROLLERS.create, sdn.CONTROLLERS.new, _CONTROLLERS),
    Route("GET", _CONTROLLER, sdn.CONTROLLERS.item, sdn.CONTROLLERS.one, _allocate("/sdn/controllers/{controller}")),
    Route("PUT", _CONTROLLER, sdn.CONTROLLERS.update, sdn.CONTROLLERS.change, _CONTROLLERS),
    Route("DELETE", _CONTROLLER, sdn.CONTROLLERS.delete, sdn.CONTROLLERS.removal, _CONTROLLERS),
    # Zones
    Route("GET", "/cluster/sdn/zones", sdn.ZONES.listing, sdn.ZONES.filters),
    Route("POST", "/cluster/sdn/zones", sdn.ZONES.create, sdn.ZONES.new, _allocate("/sdn/zones")),
    Route("GET", "/cluster/sdn/zones/{zone}", sdn.ZONES.item, sdn.ZONES.one, _allocate("/sdn/zones/{zone}")),
    Route("PUT", "/cluster/sdn/zones/{zone}", sdn.ZONES.update, sdn.ZONES.change, _allocate("/sdn/zones/{zone}")),
    Route("DELETE", "/cluster/sdn/zones/{zone}", sdn.ZONES.delete, sdn.ZONES.removal, _allocate("/sdn/zones/{zone}")),
    # IPAM
    Route("GET", "/cluster/sdn/ipams", sdn.IPAMS.listing, sdn.IPAMS.filters),
    Route("POST", "/cluster/sdn/ipams", sdn.IPAMS.create, sdn.IPAMS.new, _allocate("/sdn/ipams")),
    Route("GET", "/cluster/sdn/ipams/{ipam}", sdn.IPAMS.item, sdn.IPAMS.one, _allocate("/sdn/ipams/{ipam}")),
    Route("PUT", "/cluster/sdn/ipams/{ipam}", sdn.IPAMS.update, sdn.IPAMS.change, _allocate("/sdn/ipams")),
    Route("DELETE", "/cluster/sdn/ipams/{ipam}", sdn.IPAMS.delete, sdn.IPAMS.removal, _allocate("/sdn/ipams")),
    Route("GET", "/cluster/sdn/ipams/{ipam}/status", sdn.ipam_status, sdn.IPAM_STATUS),
    # Name servers
    Route("GET", "/cluster/sdn/dns", sdn.DNS.listing, sdn.DNS.filters),
    Route("POST", "/cluster/sdn/dns", sdn.DNS.create, sdn.DNS.new, _allocate("/sdn/dns")),
    Route("GET", "/cluster/sdn/dns/{dns}", sdn.DNS.item, sdn.DNS.one, _allocate("/sdn/dns/{dns}")),
    Route("PUT", "/cluster/sdn/dns/{dns}", sdn.DNS.update, sdn.DNS.change, _allocate("/sdn/dns")),
    Route("DELETE", "/cluster/sdn/dns/{dns}", sdn.DNS.delete, sdn.DNS.removal, _allocate("/sdn/dns")),
    # VNets
    Route("GET", "/cluster/sdn/vnets", sdn.vnets, parameters.VIEWS),
    Route("POST", "/cluster/sdn/vnets", sdn.create_vnet, sdn.NEW_VNET, _allocate("/sdn/zones/{zone}")),
    Route("GET", _VNET, sdn.vnet, sdn.VNET),
    Route("PUT", _VNET, sdn.update_vnet, sdn.VNET_CHANGE),
    Route("DELETE", _VNET, sdn.delete_vnet, sdn.VNET_REMOVAL),
    Route("POST", _VNET + "/ips", sdn.add_address, parameters.ADDRESS, _allocate("/sdn/zones/{zone}/{vnet}")),
    Route("PUT", _VNET + "/ips", sdn.change_address, sdn.ADDRESS_CHANGE, _allocate("/sdn/zones/{zone}/{vnet}")),
    Route("DELETE", _VNET + "/ips", sdn.delete_address, parameters.ADDRESS, _allocate("/sdn/zones/{zone}/{vnet}")),
    # Subnets
    Route("GET", _VNET + "/subnets", sdn.subnets, sdn.SUBNETS),
    Route("POST", _VNET + "/subnets", sdn.create_subnet, sdn.NEW_SUBNET),
    Route("GET", _SUBNET, sdn.subnet, sdn.SUBNET),
    Route("PUT", _SUBNET, sdn.update_subnet, sdn.SUBNET_CHANGE),
    Route("DELETE", _SUBNET, sdn.delete_subnet, sdn.SUBNET_REMOVAL),
)

_FABRICS = (
    from_apidoc("GET", "/cluster/sdn/fabrics", fabrics.fabrics_index),
    from_apidoc("GET", "/cluster/sdn/fabrics/all", fabrics.everything),
    from_apidoc("GET", _FABRIC, fabrics.fabrics),
    from_apidoc("POST", _FABRIC, fabrics.create_fabric),
    from_apidoc("GET", _FABRIC + "/{id}", fabrics.fabric),
    from_apidoc("PUT", _FABRIC + "/{id}", fabrics.update_fabric),
    # The lock token of a deletion is not declared, but taken.
    from_apidoc("DELETE", _FABRIC + "/{id}", fabrics.delete_fabric, strict=False),
    from_apidoc("GET", _FABRIC_NODE, fabrics.all_nodes),
    from_apidoc("GET", _FABRIC_NODE + "/{fabric_id}", fabrics.nodes),
    from_apidoc("POST", _FABRIC_NODE + "/{fabric_id}", fabrics.create_node),
    from_apidoc("GET", _FABRIC_NODE + "/{fabric_id}/{node_id}", fabrics.node),
    from_apidoc("PUT", _FABRIC_NODE + "/{fabric_id}/{node_id}", fabrics.update_node),
    from_apidoc("DELETE", _FABRIC_NODE + "/{fabric_id}/{node_id}", fabrics.delete_node, strict=False),
    from_apidoc("GET", _MAPS, route_maps.route_maps),
    from_apidoc("GET", _MAPS + "/entries", route_maps.all_entries),
    from_apidoc("POST", _MAPS + "/entries", route_maps.create_entry),
    from_apidoc("GET", _MAPS + "/entries/{route-map-id}", route_maps.entries),
    from_apidoc("GET", _MAP_ENTRY, route_maps.entry),
    from_apidoc("PUT", _MAP_ENTRY, route_maps.update_entry),
    from_apidoc("DELETE", _MAP_ENTRY, route_maps.delete_entry),
    from_apidoc("GET", _LISTS, prefix_lists.prefix_lists),
    from_apidoc("POST", _LISTS, prefix_lists.create_list),
    from_apidoc("GET", _LISTS + "/{id}", prefix_lists.prefix_list),
    from_apidoc("PUT", _LISTS + "/{id}", prefix_lists.update_list),
    from_apidoc("DELETE", _LISTS + "/{id}", prefix_lists.delete_list),
    from_apidoc("GET", _LISTS + "/{id}/entries", prefix_lists.list_entries),
    from_apidoc("POST", _LISTS + "/{id}/entries", prefix_lists.add_list_entry),
    from_apidoc("GET", _LIST_ENTRY, prefix_lists.list_entry, strict=False),
    from_apidoc("PUT", _LIST_ENTRY, prefix_lists.update_list_entry, strict=False),
    from_apidoc("DELETE", _LIST_ENTRY, prefix_lists.delete_list_entry, strict=False),
)

_DATACENTER = "/cluster/firewall"
_FIREWALL = (
    from_apidoc("GET", _DATACENTER + "/macros", datacenter_firewall.macros),
    from_apidoc("GET", _DATACENTER + "/groups", datacenter_firewall.groups),
    from_apidoc("POST", _DATACENTER + "/groups", datacenter_firewall.create_group),
    from_apidoc("GET", _DATACENTER + "/ipset", datacenter_firewall.ipsets),
    from_apidoc("POST", _DATACENTER + "/ipset", datacenter_firewall.create_ipset),
    from_apidoc("GET", _DATACENTER + "/aliases", datacenter_firewall.aliases),
    from_apidoc("POST", _DATACENTER + "/aliases", datacenter_firewall.create_alias),
    from_apidoc("GET", _VNET + "/firewall", firewall.index),
    from_apidoc("GET", _VNET + "/firewall/options", firewall.options),
    from_apidoc("PUT", _VNET + "/firewall/options", firewall.set_options),
    from_apidoc("GET", _VNET + "/firewall/rules", firewall.rules),
    from_apidoc("POST", _VNET + "/firewall/rules", firewall.create_rule),
    from_apidoc("GET", _VNET + "/firewall/rules/{pos}", firewall.rule),
    from_apidoc("PUT", _VNET + "/firewall/rules/{pos}", firewall.change_rule),
    from_apidoc("DELETE", _VNET + "/firewall/rules/{pos}", firewall.delete_rule),
)

_NODES = (
    from_apidoc("GET", "/nodes/{node}/version", nodes.version),
    from_apidoc("GET", "/nodes/{node}/apt/versions", nodes.package_versions),
    from_apidoc("GET", "/nodes/{node}/network", nodes.network),
    from_apidoc("POST", "/nodes/{node}/network", nodes.create_interface),
    from_apidoc("PUT", "/nodes/{node}/network", nodes.reload),
    from_apidoc("DELETE", "/nodes/{node}/network", nodes.revert),
    from_apidoc("GET", "/nodes/{node}/network/{iface}", nodes.interface),
    from_apidoc("PUT", "/nodes/{node}/network/{iface}", nodes.update_interface),
    from_apidoc("DELETE", "/nodes/{node}/network/{iface}", nodes.delete_interface),
    from_apidoc("GET", "/nodes/{node}/tasks", tasks.tasks),
    from_apidoc("GET", _TASK, tasks.index),
    from_apidoc("DELETE", _TASK, tasks.stop),
    from_apidoc("GET", _TASK + "/status", tasks.status),
    from_apidoc("GET", _TASK + "/log", tasks.log),
)

_NODE_SDN = (
    from_apidoc("GET", "/cluster/sdn/dry-run", node_sdn.node_dry_run),
    Route("GET", "/nodes/{node}/sdn", node_sdn.index, node_sdn.INDEX),
    from_apidoc("GET", "/nodes/{node}/sdn/fabrics/{fabric}/interfaces", node_sdn.fabric_interfaces),
    from_apidoc("GET", "/nodes/{node}/sdn/fabrics/{fabric}/neighbors", node_sdn.neighbours),
    from_apidoc("GET", "/nodes/{node}/sdn/fabrics/{fabric}/routes", node_sdn.fabric_routes),
    Route("GET", "/nodes/{node}/sdn/vnets/{vnet}", node_sdn.vnet_index, node_sdn.VNET_INDEX, since=V91),
    from_apidoc("GET", "/nodes/{node}/sdn/vnets/{vnet}/mac-vrf", node_sdn.mac_vrf),
    from_apidoc("GET", "/nodes/{node}/sdn/zones", node_sdn.zones),
    Route(
        "GET", "/nodes/{node}/sdn/zones/{zone}", node_sdn.zone_index, node_sdn.ZONE_INDEX,
        Permission("/sdn/zones/{zone}", ("SDN.Audit",)),
    ),
    from_apidoc("GET", "/nodes/{node}/sdn/zones/{zone}/bridges", node_sdn.bridges),
    from_apidoc("GET", "/nodes/{node}/sdn/zones/{zone}/content", node_sdn.content),
    from_apidoc("GET", "/nodes/{node}/sdn/zones/{zone}/ip-vrf", node_sdn.ip_vrf),
)  # fmt: skip

_GUESTS = (
    from_apidoc("GET", "/nodes/{node}/qemu", guests.QEMU.listing),
    from_apidoc("GET", _VM + "/config", guests.QEMU.config),
    from_apidoc("PUT", _VM + "/config", guests.QEMU.update),
    from_apidoc("POST", _VM + "/config", guests.post_config),
    from_apidoc("GET", _VM + "/pending", guests.QEMU.pending),
    from_apidoc("GET", _VM + "/status/current", guests.QEMU.status),
    from_apidoc("POST", _VM + "/status/reboot", guests.reboot),
    from_apidoc("GET", _VM + "/migrate", guests.may_migrate),
    from_apidoc("POST", _VM + "/migrate", guests.migrate),
    from_apidoc("GET", _VM + "/agent/network-get-interfaces", guests.agent_interfaces),
    from_apidoc("GET", "/nodes/{node}/lxc", guests.LXC.listing),
    from_apidoc("GET", _CONTAINER + "/config", guests.LXC.config),
    from_apidoc("PUT", _CONTAINER + "/config", guests.LXC.update),
    from_apidoc("GET", _CONTAINER + "/pending", guests.LXC.pending),
    from_apidoc("GET", _CONTAINER + "/status/current", guests.LXC.status),
    from_apidoc("GET", _CONTAINER + "/interfaces", guests.container_interfaces),
)

ROUTES: tuple[Route, ...] = (*_ACCESS, *_CLUSTER, *_SDN, *_FIREWALL, *_FABRICS, *_NODES, *_NODE_SDN, *_GUESTS)
