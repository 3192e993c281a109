"""The CronJob controller: a Job at every time of a schedule.

Flow: `wiring` reads the Jobs that a CronJob made; `status.standing` says which of them still run, which are new to the
status and which ones went; `timing.due` says whether a time has come; `wiring` makes the Job, by a name that tells its
time, so that it is made once whatever crashes.

Not here: schedules (`model.cron`), running a Job (`controllers.job`).
"""

from arktos.controllers.cronjob.wiring import build

__all__ = ["build"]
