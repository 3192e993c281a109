"""The ResourceQuota controller: counts what a namespace uses, for quotas that have not been counted.

The API server charges every write to the quotas of its namespace, inside the commit; a quota's status is its ledger.
What that cannot know is what was there before: a new quota, or a new limit in an old one, is counted here. The count is
exact because it is one of a single revision: what was there then, and what was charged since, make up what there is
now. `wiring` lists at that revision, `reconcile` adds up, and the server brings the result forward
(`model.quota.COUNTED_AT`): neither side waits for the other, and none overwrites it.

Every quota is counted again when the controller starts and each half hour. That finds what no write charged: objects
that expired, a status that somebody wrote by hand.

Not here: what an object counts for (`model.quota`), enforcement (the API server).
"""

from arktos.controllers.resourcequota.wiring import build

__all__ = ["build"]
