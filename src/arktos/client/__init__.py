"""The client room: what a program needs to live on the API, tenants included. Public.

Owns: a client of one API server (`client`), where it is and who we are (`kubeconfig`), the errors that come back
(`errors`), informers that mirror a kind (`informer`, on `cache` and `reflector`), work queues and the controller
runtime on them (`workqueue`, `controller`), events about objects (`events`) and leader election (`leases`).

Invariants: a cached object is bytes and a header, never a shared dict, so nobody can spoil the cache. An informer's
cache equals the server's state as of its `resource_version`, whatever was cut, delayed or expired on the way. One
key is never in two workers' hands. What is sent in the background is bounded, and its loss is counted. No task
outlives the context or the call that started it.

Flow: `Client.watch` -> `Informer` (-> `Cache` -> handlers) -> `Controller` (-> `WorkQueue` -> your `reconcile`) ->
`Client`.

Not here: the server's side of anything, range ownership, and what any one kind means.
"""

from arktos.client.cached import Cached, Meta, Owner
from arktos.client.client import Client, Listing
from arktos.client.controller import Controller, Key, Retry, Terminal
from arktos.client.errors import ConnectionFailed
from arktos.client.events import Recorder
from arktos.client.informer import Informer, Informers
from arktos.client.kubeconfig import ClientConfig
from arktos.client.leases import Leadership, LeadershipLost
from arktos.client.watching import Watch, WatchEvent
from arktos.client.workqueue import WorkQueue

__all__ = [
    "Cached",
    "Client",
    "ClientConfig",
    "ConnectionFailed",
    "Controller",
    "Informer",
    "Informers",
    "Key",
    "Leadership",
    "LeadershipLost",
    "Listing",
    "Meta",
    "Owner",
    "Recorder",
    "Retry",
    "Terminal",
    "Watch",
    "WatchEvent",
    "WorkQueue",
]
