"""Who asks. One way of telling a file; `opening` chooses by the settings."""

from grpc_api.identity.anonymous import Anonymous
from grpc_api.identity.api_keys import ApiKeys
from grpc_api.identity.base import ANONYMOUS, CALLER, Caller, Identity
from grpc_api.identity.certificates import Certificates
from grpc_api.identity.trusted_header import TrustedHeader

__all__ = ["ANONYMOUS", "CALLER", "Anonymous", "ApiKeys", "Caller", "Certificates", "Identity", "TrustedHeader"]
