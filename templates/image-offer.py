"""Gives an image of this host to hosts of its gang: once to each that knows the word; ends when all have it.

    image-offer.py ADDRESS PORT SECONDS HOSTS RUNTIME IMAGE      the word is the first line on stdin

What arrives is checked by the image's id, not by this program.
"""

import hmac
import socket
import subprocess
import sys
import threading
import time

PIECE = 1024 * 1024


def say(text):
    print(text, flush=True)  # noqa: T201


def give(connection, word, command, done):
    with connection:
        connection.settimeout(60)
        said = connection.makefile("rb").readline(200).strip()
        if not hmac.compare_digest(said, word):
            say("somebody without the word")
            return
        connection.settimeout(600)
        total = 0
        with subprocess.Popen(command, stdout=subprocess.PIPE) as saving:
            while True:
                piece = saving.stdout.read(PIECE)
                if not piece:
                    break
                connection.sendall(piece)
                total += len(piece)
        if saving.returncode == 0:
            say(f"gave {total} bytes")
            done.append(total)


def main():
    address, port, seconds, hosts, runtime, image = sys.argv[1:7]
    word = sys.stdin.readline().strip().encode()
    deadline = time.monotonic() + float(seconds)
    done = []
    with socket.create_server((address, int(port))) as server:
        server.settimeout(1)
        say(f"offers {image} on {address}:{port}")
        while len(done) < int(hosts) and time.monotonic() < deadline:
            try:
                connection, _ = server.accept()
            except socket.timeout:  # noqa: UP041  (another class before Python 3.10)
                continue
            work = (connection, word, [*runtime.split(), "save", image], done)
            threading.Thread(target=give, args=work, daemon=True).start()
    return 0 if len(done) >= int(hosts) else 1


sys.exit(main())
