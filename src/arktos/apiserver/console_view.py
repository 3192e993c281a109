"""How kubectl's commands that reach into a pod see one that is a virtual machine.

`kubectl logs`, `attach`, `exec` and their like look for their target in `spec.containers`, and know of nothing else:
without one they refuse, or crash. kubectl says with each request what command it comes from (KEP-859), so to these,
which only read, and to nobody else, a machine is shown as the container that its console is: one of its name, with a
terminal.
"""

from __future__ import annotations

import msgspec

from arktos.apiserver.call import Call
from arktos.apiserver.encoding import dumps
from arktos.model.kinds import Obj

_COMMANDS = frozenset({"attach", "cp", "exec", "logs", "port-forward"})
_MARK = b'"virtualMachine":'


def wanted(call: Call) -> bool:
    """Whether the caller is such a command and reads pods."""
    if call.kind.resource != "pods" or call.accept.as_:
        return False
    words = call.request.headers.get("kubectl-command", "").split()
    return len(words) > 1 and words[1] in _COMMANDS


def seen(body: bytes) -> bytes:
    """The pod's JSON as it is shown to such a command; that of a pod with containers is left as it is."""
    if _MARK not in body:
        return body
    pod: Obj = msgspec.json.decode(body)
    machine = (pod.get("spec") or {}).get("virtualMachine")
    if machine is None or pod["spec"].get("containers"):
        return body
    console = {"name": machine["name"], "image": machine.get("image", ""), "stdin": True, "tty": True}
    return dumps({**pod, "spec": {**pod["spec"], "containers": [console]}})
