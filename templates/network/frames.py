"""Runs on a host as root: says over each interface who it is, and prints whom it hears. Python 3.6 and newer.

python3 - SECONDS HOST NETDEV...

An interface that is down is up meanwhile, and down again afterwards. Nothing else changes.
"""

import contextlib
import fcntl
import json
import select
import signal
import socket
import struct
import sys
import time

ETHERTYPE = 0x88B5  # IEEE 802: for local experiments
BROADCAST = b"\xff" * 6
MARK = b"orch-cable 1 "
EVERY = 0.25  # seconds between two frames
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
MOST = 4096  # different frames


def flags(control, netdev):
    found = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", netdev.encode(), 0))
    return struct.unpack("16sH14x", found)[1]


def set_flags(control, netdev, value):
    fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", netdev.encode(), value))


def opened(netdev):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE))
    one.bind((netdev, ETHERTYPE))
    one.setblocking(False)
    return one


def frame(host, netdev, mac):
    told = MARK + json.dumps([host, netdev]).encode()
    return (BROADCAST + mac + struct.pack("!H", ETHERTYPE) + told).ljust(60, b"\0")


def read(netdev, data):
    """[our netdev, sender's MAC, its host, its netdev] of a frame of ours, else None."""
    if not data[14:].startswith(MARK):
        return None
    try:
        host, sender = json.loads(data[14 + len(MARK) :].rstrip(b"\0").decode())
    except ValueError:
        return None
    mac = ":".join(f"{byte:02x}" for byte in data[6:12])
    return (netdev, mac, str(host)[:100], str(sender)[:20])


def look(seconds, host, sockets):
    found, end, following = set(), time.monotonic() + seconds, 0.0
    while time.monotonic() < end:
        if time.monotonic() >= following:
            following = time.monotonic() + EVERY
            for netdev, one in sockets.items():
                with contextlib.suppress(OSError):  # no carrier yet
                    one.send(frame(host, netdev, one.getsockname()[4]))
        ready, _, _ = select.select(list(sockets.values()), [], [], EVERY)
        for netdev, one in sockets.items():
            if one in ready and len(found) < MOST:
                try:
                    seen = read(netdev, one.recv(2048))
                except OSError:
                    continue
                if seen is not None:
                    found.add(seen)
    return found


def main():
    seconds, host, netdevs = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    raised, sockets = {}, {}
    try:
        for netdev in netdevs:
            try:
                before = flags(control, netdev)
            except OSError:
                continue  # the host has no such interface
            if not before & IFF_UP:
                raised[netdev] = before
                set_flags(control, netdev, before | IFF_UP)
            sockets[netdev] = opened(netdev)
        found = look(seconds, host, sockets)
    finally:
        for netdev, before in raised.items():
            set_flags(control, netdev, before)
    for one in sorted(found):
        print(json.dumps(one))  # noqa: T201
    print("end")  # noqa: T201


main()
