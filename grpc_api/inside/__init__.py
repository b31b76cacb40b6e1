"""The guard inside somebody else's V2 server: a gRPC interceptor that imports none of the host's stubs."""

from grpc_api.inside.every_server import EveryServer, guard_every_server
from grpc_api.inside.interceptors import AioGuardInterceptor, GuardInterceptor
from grpc_api.inside.model import GuardedModel

__all__ = ["AioGuardInterceptor", "EveryServer", "GuardInterceptor", "GuardedModel", "guard_every_server"]
