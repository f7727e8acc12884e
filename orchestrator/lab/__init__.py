"""Rehearsal hosts on this machine: real systemd, sshd, netplan and docker, with no GPU."""
