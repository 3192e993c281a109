"""How bytes travel: documents, media types, HTTP/1.1 on both sides, TLS.

Owns the encodings (`json`, `yaml`, `protobuf`), what clients ask for (`mediatype`), the messages of HTTP as values
(`http`), the server (`http_server`, with `tls`) and the client (`http_client`).

Invariants. Nothing that a peer sends can make a process use unbounded memory, stack or time: bodies, heads, nesting,
alias expansion and queues have limits, and what breaks one is answered as the Kubernetes API would (400, 413, 431).
Malformed input raises the one error of its codec, never anything else. Requests of a connection are answered in order.
Bytes made once are shared: a chunk framed for one watcher is sent to all.

Flow of a request: transport -> `server_connection` -> `request_reader` (httptools) -> handler -> `Response`, `Stream`
or `Upgrade` -> `answers` (head) -> transport. The hot path makes no task, no timer and no object but the request. Pure
parts (`request_reader`, `answers`, the codecs) know neither sockets nor loops; the connections are thin shells around
them.

Protobuf is a table (`protobuf_messages.json`, made by scripts/extract_protobuf.py) and two loops over it, not generated
code: one process meets few of its 1,200 messages, and compiles only these.

Not here: what objects mean (`model`), who may do what (`apiserver`), HTTP/2, which clients do without.
"""
