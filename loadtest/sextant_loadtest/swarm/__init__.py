"""
What runs inside Locust. Importing it rewrites the sockets and threads of this process, and nothing outside imports it.

Locust brings gevent, which comes first of all; then gRPC is told to wait on gevent's loop.
"""

from __future__ import annotations

import locust  # isort: skip  it comes before what it rewrites

import grpc.experimental.gevent

from sextant_client import protobuf

grpc.experimental.gevent.init_gevent()
# Callers of one process would share one connection, as gRPC does wherever it can: these are to be as many as they seem.
protobuf.CHANNEL_OPTIONS.append(("grpc.use_local_subchannel_pool", 1))
