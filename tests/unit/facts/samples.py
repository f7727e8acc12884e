# ruff: noqa: E501
"""Tool output to parse. Captured where it says so; the rest is constructed from documented formats."""

from __future__ import annotations

# Constructed from NVIDIA's documented answers for GB10 (memory is not supported there).
SMI_GB10 = """\
0, GPU-7b1f2c3d-0001-0002-0003-00000000000a, 0000000F:01:00.0, 580.142, [N/A], [N/A], [N/A], NVIDIA GB10
rc 0
"""

# Constructed: two cards, listed out of order, one that needs a reset.
SMI_PAIR = """\
1, GPU-bbbbbbbb-0001-0002-0003-00000000000b, 00000000:C1:00.0, 570.86.15, 24564, 311, 23826, NVIDIA GeForce RTX 4090
0, GPU-aaaaaaaa-0001-0002-0003-00000000000a, 00000000:01:00.0, 570.86.15, 24564, [GPU requires reset], [GPU requires reset], NVIDIA GeForce RTX 4090
rc 0
"""

BUS_GB10 = "000f:01:00.0 -1\ntoolkit yes\n"
BUS_PAIR = "0000:01:00.0 0\n0000:01:00.1 0\n0000:c1:00.0 1\ntoolkit no\n"

# Constructed in the form of `nvidia-smi topo -m`, with its underlined header and its legend.
TOPOLOGY_PAIR = """\
\t\x1b[4mGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m
GPU0\t X \tSYS\tNODE\t0-31,64-95\t0\t\tN/A
GPU1\tSYS\t X \tSYS\t32-63,96-127\t1\t\tN/A
NIC0\tNODE\tSYS\t X \t\t\t\t

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes
  NODE = Connection traversing PCIe as well as the interconnect within a NUMA node
  NV#  = Connection traversing a bonded set of # NVLinks

NIC Legend:

  NIC0: rocep1s0f0
"""

# Verbatim texts of nvidia-smi that failed.
SMI_FAILED = """\
NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA driver is installed and running.
rc 9
"""
SMI_NONE = "No devices were found\nrc 6\n"

# Captured: `rdma -j link show` and `ibv_devinfo` of two Soft-RoCE devices (Debian 12, rdma-core 44).
RDMA_LINK = (
    '[{"ifindex":0,"ifname":"rocep1s0f1","port":1,"state":"ACTIVE","physical_state":"LINK_UP",'
    '"netdev":"enp1s0f1np1","netdev_index":4},{"ifindex":1,"ifname":"roceP2p1s0f1","port":1,'
    '"state":"ACTIVE","physical_state":"LINK_UP","netdev":"enP2p1s0f1np1","netdev_index":6}]\n'
)
IBV_DEVINFO = """\
hca_id:\trocep1s0f1
\ttransport:\t\t\tInfiniBand (0)
\tfw_ver:\t\t\t\t0.0.0
\tnode_guid:\t\t\t5054:00ff:fe00:0a02
\tphys_port_cnt:\t\t\t1
\t\tport:\t1
\t\t\tstate:\t\t\tPORT_ACTIVE (4)
\t\t\tmax_mtu:\t\t4096 (5)
\t\t\tactive_mtu:\t\t4096 (5)
\t\t\tlink_layer:\t\tEthernet

hca_id:\troceP2p1s0f1
\ttransport:\t\t\tInfiniBand (0)
\tfw_ver:\t\t\t\t0.0.0
\tphys_port_cnt:\t\t\t1
\t\tport:\t1
\t\t\tstate:\t\t\tPORT_DOWN (1)
\t\t\tmax_mtu:\t\t4096 (5)
\t\t\tactive_mtu:\t\t1024 (3)
\t\t\tlink_layer:\t\tEthernet

"""

# Captured with docker 28.2.2 against a daemon that does not run; and the text of a missing group.
DOCKER_DOWN = b"Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?\n"
DOCKER_DENIED = (
    b"permission denied while trying to connect to the Docker daemon socket at "
    b"unix:///var/run/docker.sock: dial unix /var/run/docker.sock: connect: permission denied\n"
)

SS = """\
ss
LISTEN 0      4096         0.0.0.0:8000      0.0.0.0:*    users:(("vllm serve",pid=4711,fd=7))
LISTEN 0      128    127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=512,fd=14))
LISTEN 0      128             [::]:22           [::]:*    users:(("sshd",pid=700,fd=4),("systemd",pid=1,fd=60))
LISTEN 0      4096               *:2377            *:*
end
"""
# Captured: /proc/net/tcp and tcp6 (a listener on 127.0.0.1:8080, one connection, a listener on ::1).
PROC_NET = """\
proc
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 19313 1 0000000000000000 100 0 0 10 0
   1: 020200C0:07E8 010200C0:CF1E 01 00000000:00000000 00:00000000 00000000     0        0 19317 1 0000000000000000 20 4 30 10 -1
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 19320 1 0000000000000000 100 0 0 10 0
end
"""
