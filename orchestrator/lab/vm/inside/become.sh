# Runs in a virtual machine that was just restored, after its own files were unpacked: it becomes that host.
# Arguments: its name, and the time in seconds, for the clock stood still while the state was on disk.
set -e
date --set="@$2" >/dev/null
echo "$1" >/etc/hostname
hostname "$1"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost ip6-loopback\n' "$1" >/etc/hosts
# The boot that was saved is another lab's too.
if [ ! -e /run/orch-lab-boot-id ]; then
  cat /proc/sys/kernel/random/uuid >/run/orch-lab-boot-id
  mount --bind /run/orch-lab-boot-id /proc/sys/kernel/random/boot_id
fi
systemctl restart ssh.service
systemctl try-restart --no-block lldpd.service
sync
