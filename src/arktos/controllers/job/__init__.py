"""The Job controller: pods until enough of them have succeeded, or too many failed.

Flow: `wiring` claims pods and reads them (`facts`); `ledger` counts those that ended, each once, whatever crashes in
between (a pod keeps a finalizer until the status that counts it is written, KEP-2307); `verdict` says whether the job
has failed or succeeded (`failurepolicy`, limits, success policy); `plan` puts it together: status, pods to make, to
delete, to let go. `indexes` are sets of completion indexes as they stand in a status.
"""

from arktos.controllers.job.wiring import build

__all__ = ["build"]
