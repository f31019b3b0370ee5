"""The firewall of VNets, as pve-firewall keeps it: names and values of rules, the rules, the file."""
