# Runs in the new image's root: `finish.sh KEPT-MODULES BOOT-MODULES MASKED-UNITS`, each a list in one word.
set -e
kernel=$(ls /lib/modules)
base=/lib/modules/$kernel

needed() { # the files of modules and of what they need, in the order in which they can be loaded
  for name in $1; do modprobe --set-version "$kernel" --show-depends "$name" 2>/dev/null || true; done |
    sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}
needed "$1 $2" | sort >/tmp/kept
needed "$2" >/tmp/boot
find "$base" -name '*.ko*' | sort | comm -23 - /tmp/kept | xargs rm -f
depmod "$kernel"

# The first root: busybox, and what mounts the second.
root=/tmp/initrd
mkdir -p $root/bin $root/lib $root/proc $root/sys $root/dev $root/mnt
cp /bin/busybox $root/bin/busybox
cp /usr/lib/orch-lab/init $root/init
chmod 755 $root/init
while read -r file; do
  cp "$file" $root/lib/
  echo "${file##*/}" >>$root/order
done </tmp/boot
mkdir -p /out
(cd $root && find . | busybox cpio -o -H newc >/out/initrd)
cp "/boot/vmlinuz-$kernel" /out/vmlinuz
rm -rf /boot/* /tmp/kept /tmp/boot $root

useradd --create-home --shell /bin/bash --groups sudo orch
mkdir -m 700 /home/orch/.ssh
chown orch:orch /home/orch/.ssh
systemctl --quiet enable systemd-networkd.service ssh.service lldpd.service orch-lab-rxe.service
# shellcheck disable=SC2086
systemctl --quiet mask $3
# `netplan apply` reloads systemd more than once; each generator that has nothing to do here costs emulation time.
mkdir -p /etc/systemd/system-generators
for generator in /lib/systemd/system-generators/systemd-*; do
  case ${generator##*/} in
    systemd-fstab-generator) ;;
    *) ln -s /dev/null "/etc/systemd/system-generators/${generator##*/}" ;;
  esac
done
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/resolv.conf
: >/etc/machine-id
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key # until a lab gives the host its own
echo '/dev/vda / ext4 rw,noatime 0 0' >/etc/fstab
