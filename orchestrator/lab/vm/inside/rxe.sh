#!/bin/sh
# Soft-RoCE devices on the data interfaces, named as a DGX Spark's. udev names the interfaces while the boot goes on.
for name in p1s0f0:enp1s0f0np0 P2p1s0f0:enP2p1s0f0np0 p1s0f1:enp1s0f1np1 P2p1s0f1:enP2p1s0f1np1; do
  device=roce${name%%:*} netdev=${name#*:}
  n=0
  while [ ! -e "/sys/class/net/$netdev" ] && [ $n -lt 300 ]; do
    sleep 0.2
    n=$((n + 1))
  done
  [ -e "/sys/class/infiniband/$device" ] || rdma link add "$device" type rxe netdev "$netdev"
done
