"""From a class with a method for each call of a service to what a gRPC server takes."""

from typing import Any

import grpc

from grpc_api.reading import bounded


def service_handler(servicer: object, name: str, *, stubs: Any, service: str) -> grpc.GenericRpcHandler:
    """Return `servicer` as the unary service called `name` on the wire; `stubs` describes its calls under `service`."""
    handlers = {
        m.name: grpc.unary_unary_rpc_method_handler(
            getattr(servicer, m.name),
            request_deserializer=bounded(getattr(stubs, m.input_type.name)),
            response_serializer=getattr(stubs, m.output_type.name).SerializeToString,
        )
        for m in stubs.DESCRIPTOR.services_by_name[service].methods
    }
    return grpc.method_handlers_generic_handler(name, handlers)
