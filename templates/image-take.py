"""Takes what image-offer.py gives, to stdout.    image-take.py ADDRESS PORT SECONDS      the word is on stdin"""

import socket
import sys
import time

PIECE = 1024 * 1024
EVERY = 64 * PIECE


def connected(address, port, deadline):
    while True:
        try:
            return socket.create_connection((address, port), 10)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def main():
    address, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    word = sys.stdin.readline().strip().encode()
    total = told = 0
    with connected(address, port, time.monotonic() + seconds) as source:
        source.settimeout(600)
        source.sendall(word + b"\n")
        while True:
            piece = source.recv(PIECE)
            if not piece:
                break
            sys.stdout.buffer.write(piece)
            total += len(piece)
            if total - told >= EVERY:
                told = total
                sys.stderr.write(f"{total} bytes\n")
                sys.stderr.flush()
    sys.stdout.buffer.flush()
    sys.stderr.write(f"{total} bytes in all\n")
    return 0 if total else 1


sys.exit(main())
