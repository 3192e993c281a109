"""The store room: revisioned objects, durable, watched.

Owns the truth of one control plane (or of one partition of it): every object as bytes, the order of all changes, and
the window of history from which watches resume. Knows nothing of HTTP, of kinds or of what the bytes mean beyond the
slot for the revision and the header beside them (`records`).

Two halves, with `records` as the seam above and `replica` as the seam between them:

* What readers see is the same for every engine: `replica` = `index` (current state, by key, field, owner and hash) +
  `history` (recent events) + `hub` (live subscriptions). It is fed with events in revision order and never does I/O.
* An engine accepts commits and makes them durable. `embedded` is the one for a single machine: `head` checks
  preconditions against all that was accepted, `revisions` hands out revisions, `writer` is the one thread that
  touches SQLite through `logfile`, `loading` brings a file back at start.

The flow of a commit: checked and given its revision on the loop, in one step (`head`) -> queued -> written and
fsynced with all that queued meanwhile, one SQLite transaction (`writer`, `logfile`) -> visible: index, history, hub,
answer. So accepted is ahead of durable, and visible never is, lazy puts excepted: those are visible first and durable
within a second.

Invariants:

* Events become visible in revision order, whole commits at a time; nothing that was visible is taken back.
* A revision is never handed out twice. Lazy puts are seen before they are on disk, so their revisions stay below a
  ceiling that is; after a crash the store goes on above the ceiling, and answers RevisionCompacted for what a reader
  may have seen of a resource with lazy puts before the crash, since a part of it may not have happened any more.
* The log table is the persisted history window, the state table all that is older: a row moves from one to the other
  when its event leaves the window. Only the writer thread writes, so nothing ever waits for a database lock.
* A failed write fails every commit that was not yet visible, and none that was.

Does not: authorize, validate, interpret, retry for its callers, or block in any method but at opening.
"""
