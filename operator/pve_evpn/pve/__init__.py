"""The Proxmox VE API as the operator sees it: typed reads and writes, errors by meaning. No decisions."""
