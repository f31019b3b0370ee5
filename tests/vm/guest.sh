#!/bin/sh
# The first process of a test machine whose root folder is the host's, read-only. A layer in memory takes all that is
# written; over it comes what a booted system has, then the job, then the end of the machine.
# Arguments: "layer", the kernel's modules, a static busybox, the folder of the job on the host, the device to print to.
set -e
step=$1 modules=$2 busybox=$3 job=$4 console=$5
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root

layer() {
    "$busybox" mount -t proc proc /proc
    "$busybox" mount -t tmpfs -o size=90% tmpfs /mnt
    "$busybox" insmod "$modules/kernel/fs/overlayfs/overlay.ko"
    mkdir /mnt/top /mnt/work /mnt/root
    "$busybox" mount -t overlay -o lowerdir=/,upperdir=/mnt/top,workdir=/mnt/work overlay /mnt/root
    cd /mnt/root
    # Not a chroot alone: mount namespaces begin at the topmost root.
    "$busybox" mount --move . /
    exec "$busybox" chroot . /bin/sh "$0" boot "$modules" "$busybox" "$job" "$console"
}

boot() {
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t devtmpfs devtmpfs /dev
    exec >"$console" 2>&1
    mkdir -p /dev/pts /dev/shm /var/lib/pve-lab "/lib/modules/$(uname -r)"
    mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
    mount -t tmpfs tmpfs /dev/shm
    # What runs on the host has its files here.
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=755 tmpfs /var/lib/pve-lab
    mkdir /run/lock /run/job
    mount --bind "$modules" "/lib/modules/$(uname -r)"
    ln -s "$busybox" /run/modprobe
    echo /run/modprobe >/proc/sys/kernel/modprobe
    if grep -q 9p /proc/filesystems; then
        mount -t 9p -o trans=virtio,version=9p2000.L job /run/job
    else
        mount -t hostfs -o "$job" none /run/job
    fi
    hostname evpn-vm
    "$busybox" ip link set dev lo up
    # Programs that look for the address of "this host" look for a default route.
    ip link add name uplink type dummy
    ip address add 203.0.113.1/24 dev uplink
    ip link set dev uplink up
    ip route add default via 203.0.113.2
}

work() {
    status=0
    /bin/sh "$job/run.sh" || status=$?
    echo "$status" >/run/job/status
    sync
}

if [ "$step" = layer ]; then layer; fi
boot && work
"$busybox" poweroff -f
