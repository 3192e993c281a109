"""The CNI plugin that runtimes start: hands the call to the node's network daemon and prints its answer.

Stands alone: standard library only, and few modules of it, since it is started for every pod. It is copied, not
imported. The daemon's socket is the configuration's `socket`.
"""

import json
import os
import socket
import sys

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
TRY_AGAIN, BAD_CONF, UNDECODABLE = 11, 7, 6
SECONDS = 60


def fail(version: str, code: int, message: str, details: str = "") -> int:
    print(json.dumps({"cniVersion": version, "code": code, "msg": message, "details": details}))
    return 1


def ask(path: str, question: bytes) -> tuple[int, object]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
        daemon.settimeout(SECONDS)
        daemon.connect(path)
        daemon.sendall(question)
        daemon.shutdown(socket.SHUT_WR)
        answer = b""
        while part := daemon.recv(65536):
            answer += part
        found = json.loads(answer)
        return int(found["status"]), found["output"]


def main() -> int:
    text = sys.stdin.read()
    try:
        conf = json.loads(text) if text.strip() else {}
        version = str(conf.get("cniVersion") or VERSIONS[-2])
    except (ValueError, AttributeError) as error:
        return fail(VERSIONS[-2], UNDECODABLE, "the network configuration is no JSON object", str(error))
    if os.environ.get("CNI_COMMAND") == "VERSION":
        print(json.dumps({"cniVersion": version, "supportedVersions": VERSIONS}))
        return 0
    path = conf.get("socket")
    if not isinstance(path, str):
        return fail(version, BAD_CONF, "the network configuration names no socket")
    env = {name: value for name, value in os.environ.items() if name.startswith("CNI_")}
    try:
        status, output = ask(path, json.dumps({"env": env, "conf": conf}).encode())
    except (OSError, ValueError, KeyError, TypeError) as error:
        return fail(version, TRY_AGAIN, "the node's network does not answer", f"{path}: {error}")
    if output is not None:
        print(json.dumps(output))
    return status


if __name__ == "__main__":
    sys.exit(main())
