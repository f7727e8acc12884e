#!/bin/sh
# First process of a lab host: gets the mounts right, then becomes systemd.
#
# Control groups must be writable for systemd and for docker. They are remounted as binds ("mount point is busy"
# otherwise). With version 2 alone there is one mount, with version 1 there is one for each controller.
mount -o remount,bind,rw /sys/fs/cgroup
for controller in /sys/fs/cgroup/*/; do
  mountpoint -q "$controller" && mount -o remount,bind,rw "$controller"
done
# A lab host shares its kernel with this machine: what is not of one network or process namespace stays read-only.
for shared in /proc/sys/vm /proc/sys/kernel /proc/sys/fs /proc/sys/dev /proc/sysrq-trigger; do
  [ -e "$shared" ] && mount --bind "$shared" "$shared" && mount -o remount,bind,ro "$shared"
done
mount --make-rshared /
exec /sbin/init
