"""What the API server asks of this node: logs, exec, attach, port-forward, statistics. The HTTPS server on :10250.

    paths       what a path asks for, of which pod. Pure
    access      who asks (client certificate or token), and whether they may (SubjectAccessReview)
    server      the server: paths to answers
    upstream    the streaming URLs that runtimes give out
    commands    exec, attach, run
    forwarding  port-forward
    channels    Kubernetes' channel protocols over WebSocket. Pure
    sockets     a WebSocket on a connection, with its hold on the peer
    crilog      the log format of CRI, and what of it was asked for. Pure
    logfiles    a container's log as a sequence of files: rotated, compressed, current
    logs        a log as an answer, followed while it grows
    inotify     changes of files, without polling

A client that speaks SPDY/3.1 is joined to the runtime's own server byte by byte. One that speaks WebSocket is
translated here: channels to SPDY streams and back, so runtimes need speak SPDY only. Everything is bounded: who reads
slowly holds back who writes.
"""
