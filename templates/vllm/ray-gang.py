"""The join barrier of a Ray gang, and its watch: exactly the expected nodes, at their addresses, with their GPUs.

Runs in the head's container. Writes the file `--joined` when the gang is complete, then keeps looking and
ends when a member is lost. Ends with 1 when the gang does not become complete in time.
"""

import argparse
import sys
import time
from pathlib import Path


def say(text):
    print(f"orch: {text}", flush=True)  # noqa: T201


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--joined", required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--poll", type=float, default=1.0)
    parser.add_argument("--watch", type=float, default=5.0)
    parser.add_argument("expect", nargs="+", help="ADDRESS=GPUS=HOST")
    return parser.parse_args()


def connect(address, deadline):
    import ray

    while True:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except Exception as why:  # whatever it is, the head may only not be up yet
            if time.monotonic() > deadline:
                say(f"barrier: Ray at {address} does not answer: {why}")
                sys.exit(1)
            time.sleep(1)
        else:
            return ray


def members(ray):
    """Address → (node id, GPUs) of each node that is alive."""
    return {
        node["NodeManagerAddress"]: (node["NodeID"], node.get("Resources", {}).get("GPU", 0))
        for node in ray.nodes()
        if node["Alive"]
    }


def missing(expected, found):
    """What keeps the gang from being complete, in words; empty when it is."""
    said = []
    for address, (gpus, host) in expected.items():
        if address not in found:
            said.append(f"{host} ({address}) has not joined")
        elif found[address][1] < gpus:
            said.append(f"{host} ({address}) has {found[address][1]:g} of {gpus:g} GPUs")
    said += [f"{address} is no member of this gang" for address in found if address not in expected]
    return said


def barrier(ray, expected, deadline, poll):
    last = None
    while True:
        found = members(ray)
        said = missing(expected, found)
        if not said:
            return found
        here = sum(address in found for address in expected)
        text = f"barrier: {here} of {len(expected)} nodes; {'; '.join(said)}"
        if text != last:
            say(text)
            last = text
        if time.monotonic() > deadline:
            say("barrier: out of patience")
            sys.exit(1)
        time.sleep(poll)


def main():
    given = arguments()
    split = [one.split("=", 2) for one in given.expect]
    expected = {address: (float(gpus), host) for address, gpus, host in split}
    deadline = time.monotonic() + given.patience
    ray = connect(given.address, deadline)
    found = barrier(ray, expected, deadline, given.poll)
    gpus = sum(gpus for _, gpus in found.values())
    say(f"gang complete: {len(found)} nodes, {gpus:g} GPUs")
    Path(given.joined).write_text(f"{len(found)}\n")
    identities = {address: node for address, (node, _) in found.items()}
    while True:
        time.sleep(given.watch)
        now = {address: node for address, (node, _) in members(ray).items()}
        for address, node in identities.items():
            if now.get(address) != node:
                say(f"lost rank: {expected[address][1]} ({address}) left the gang")
                sys.exit(3)


if __name__ == "__main__":
    main()
