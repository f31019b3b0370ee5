#!/bin/busybox sh
# What QEMU's machine begins with: the drivers for the way to the host, then the host's root folder, read-only.
# Arguments: what runs there as the first process, and its arguments.
set -e
/bin/busybox mkdir -p /host
while read -r module; do /bin/busybox insmod "/modules/$module"; done </modules/order
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro host /host
exec /bin/busybox switch_root /host /bin/sh "$@"
