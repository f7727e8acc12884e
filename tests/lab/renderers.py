"""Turns a rehearsal host, which renders with systemd-networkd, into one on which NetworkManager does, for good."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# As on a real host, NetworkManager asks udev which interfaces are its own. Both need what a container has not:
# udevd refuses to start where /sys is read-only (all but the interfaces stays so), and NetworkManager does
# without udev there, so it sees a /sys of its own. A rail is a veth, which Debian's rule keeps from it; a port of
# a real host is no veth.
NETWORK_MANAGER = """set -e
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket; do
    mkdir -p /etc/systemd/system/$unit.d
    printf '[Unit]\\nConditionPathIsReadWrite=\\n' > /etc/systemd/system/$unit.d/lab.conf
    systemctl -q unmask $unit
done
rules=85-nm-unmanaged.rules
sed '/DRIVER.*veth/d' /lib/udev/rules.d/$rules > /etc/udev/rules.d/$rules
mkdir -p /etc/systemd/system/NetworkManager.service.d
cat > /etc/systemd/system/NetworkManager.service.d/lab.conf <<'END'
[Service]
ExecStart=
ExecStart=+/usr/bin/unshare --mount /bin/sh -c \\
    "mount -o remount,bind,rw /sys && exec /usr/sbin/NetworkManager --no-daemon"
END
systemctl -q unmask NetworkManager NetworkManager-dispatcher
systemctl daemon-reload
systemctl start systemd-udevd
udevadm trigger --settle --action=change --subsystem-match=net
"""
# Docker gives eth0 its address at boot: NetworkManager would take it for somebody else's and leave it alone.
FOR_ALL = """
cat >> /etc/systemd/system/NetworkManager.service.d/lab.conf <<'END'
ExecStartPre=+/bin/sh -c "[ -e /run/orch-lab-bare ] || { ip addr flush dev eth0; touch /run/orch-lab-bare; }"
END
systemctl daemon-reload
sed -i 's/renderer: networkd/renderer: NetworkManager/' /etc/netplan/01-mgmt.yaml
systemctl -q disable --now systemd-networkd.socket systemd-networkd
systemctl start NetworkManager
netplan apply 2>&1
"""
FOR_RAILS = """
sed -i 's/renderer: networkd/renderer: NetworkManager/; s/    eth0:/&\\n      renderer: networkd/' \\
    /etc/netplan/01-mgmt.yaml
netplan generate
udevadm control --reload
udevadm trigger --settle --action=change --subsystem-match=net
systemctl start NetworkManager
"""
FOR_NOTHING = """
systemctl start NetworkManager
"""
# What each kind of host renders with: the management interface, then the rails as they come.
RENDERERS: Mapping[str, str] = {
    "networkd": "",  # both by networkd, NetworkManager is not there
    "NetworkManager": NETWORK_MANAGER + FOR_ALL,  # both by NetworkManager, networkd does not run
    "mixed": NETWORK_MANAGER
    + FOR_RAILS,  # networkd, NetworkManager; netplan names NetworkManager for the rest
    "both": NETWORK_MANAGER
    + FOR_NOTHING,  # networkd, and NetworkManager unasked; netplan names networkd
}


def rendered_by(name: str, inside: Callable[[str], str]) -> None:
    """`inside` runs a program as root on the host."""
    if RENDERERS[name]:
        inside(RENDERERS[name])
