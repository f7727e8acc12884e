#!/bin/sh
# First process of a lab host: gets the mounts right, then becomes systemd.
#
# Control groups must be writable for systemd and for docker. They are remounted as binds ("mount point is
# busy" otherwise). With version 2 alone there is one mount, with version 1 there is one for each controller.
mount -o remount,bind,rw /sys/fs/cgroup
for controller in /sys/fs/cgroup/*/; do
  mountpoint -q "$controller" && mount -o remount,bind,rw "$controller"
done
# A lab host shares its kernel with this machine: what is not of its own network or process namespace stays
# read-only. `netplan apply` writes to the interfaces' uevent files.
mount -o remount,rw /sys
mount --bind /sys/devices/virtual/net /sys/devices/virtual/net
mount -o remount,bind,ro /sys
for shared in /proc/sys/vm /proc/sys/kernel /proc/sys/fs /proc/sys/dev /proc/sysrq-trigger; do
  [ -e "$shared" ] && mount --bind "$shared" "$shared" && mount -o remount,bind,ro "$shared"
done
# A boot id for each boot, as on a real host: it is what tells a reboot from a lost connection.
cat /proc/sys/kernel/random/uuid >/run/orch-lab-boot-id
mount --bind /run/orch-lab-boot-id /proc/sys/kernel/random/boot_id
mount --make-rshared /
exec /sbin/init
