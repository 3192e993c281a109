"""The ring room: how the instances of one kind of work share it, each on its range of the hash ring. Public.

Owns: the life of a member (`machine`, on `view` and `decisions`, with `events` as its vocabulary), how busy it is and
where its load's median lies (`load`), its object on the wire (`records`), and the runner that gives the machine calls,
a watch and a clock (`runner`).

Invariants: of one type, no two instances hold overlapping ranges, for the server accepts none (`model.hashranges`).
Every write says under which tenure it was decided (`client.fencing`), and is accepted only while that tenure lasts. So
the machine is about being quick and quiet, never about being safe: a paused process, a clock that is wrong or a watch
that is late costs time, and no object a second master.

Flow: watch, clock, answers -> `Machine.handle` -> calls to the server, and Own / Drain / Hold to the work at hand.

Not here: what the work is (`controllers`), and the check itself (the API server's, inside the commit).
"""
