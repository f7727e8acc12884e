"""Stands for docker in tests that need it to remember: containers are files below $STATE/containers."""

import json
import os
import sys
from pathlib import Path

FOLDER = Path(os.environ["STATE"]) / "containers"
ID = "{{.Id}}"


def words(argv: list[str], option: str) -> list[str]:
    return [argv[place + 1] for place, word in enumerate(argv) if word == option]


def told(name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((FOLDER / name).read_text())
    return found


def create(argv: list[str]) -> int:
    (name,) = words(argv, "--name")
    labels = dict(word.split("=", 1) for word in words(argv, "--label"))
    made = {
        "name": f"/{name}", "id": name, "image": "img:1", "image_id": "sha256:1",
        "status": "created", "code": 0, "oom": False, "started": "", "health": "", "restarts": 0,
        "policy": {"Name": "no"}, "labels": labels,
    }  # fmt: skip
    (FOLDER / name).write_text(json.dumps(made))
    print(name)
    return 0


def become(name: str, status: str) -> int:
    (FOLDER / name).write_text(json.dumps({**told(name), "status": status}))
    return 0


def inspect(argv: list[str]) -> int:
    (form,) = words(argv, "--format")
    known = {one.name for one in FOLDER.iterdir()}
    names = [word for word in argv if word in known]
    for name in names:
        labels = told(name)["labels"]
        mine = labels if isinstance(labels, dict) else {}
        keys = [key for key in ("orch.cluster", "orch.deployment") if key in form]
        print("/".join(mine.get(key, "") for key in keys) if keys else json.dumps(told(name)))
    return 0 if names else 1


def image(argv: list[str]) -> int:
    known = {"id": "sha256:" + "7" * 64, "digests": [], "arch": os.uname().machine, "size": 9}
    print(known["id"] if ID in argv else json.dumps(known))
    return 0


def main(argv: list[str]) -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    verb = argv[0]
    if verb == "ps":
        print("\n".join(one.name for one in sorted(FOLDER.iterdir())))
    elif verb == "info":
        print(os.environ["STATE"])
        print(json.dumps({"ServerVersion": "28.2.2", "DockerRootDir": os.environ["STATE"],
                          "CgroupVersion": "2", "Runtimes": {"nvidia": {}}}))  # fmt: skip
    elif verb == "rm":
        (FOLDER / argv[-1]).unlink()
    elif verb in ("inspect", "container"):
        return inspect(argv)
    elif verb == "start":
        return become(argv[1], "running")
    elif verb == "stop":
        return become(argv[-1], "exited")
    elif verb == "create":
        return create(argv)
    elif verb == "image":
        return image(argv)
    elif verb == "logs":
        print("2026-01-01T00:00:00Z NCCL INFO Using network IB")
    else:
        print(f"the fake docker has no {verb}", file=sys.stderr)
        return 1
    return 0


sys.exit(main(sys.argv[1:]))
