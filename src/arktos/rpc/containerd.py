"""containerd's event stream."""

from __future__ import annotations

from arktos.rpc.method import Method
from arktos.rpc.protos import containerd_events_pb2 as pb

_EVENTS = "containerd.services.events.v1.Events"
SUBSCRIBE = Method(_EVENTS, "Subscribe", pb.SubscribeRequest, pb.Envelope, streams=True)
