"""Which identity a gateway's settings ask for, and what they must not leave open."""

from grpc_api.identity.anonymous import Anonymous
from grpc_api.identity.api_keys import ApiKeys
from grpc_api.identity.base import Identity
from grpc_api.identity.certificates import Certificates
from grpc_api.identity.trusted_header import TrustedHeader
from grpc_api.listening import is_loopback
from grpc_api.settings import GatewaySettings
from guard.errors import ConfigError


def open_identity(settings: GatewaySettings) -> Identity:
    """Return what tells callers apart; ConfigError if it is told twice, or if anybody could ask whom nobody meant."""
    clients, verified = settings.clients, settings.tls.client_ca_file is not None
    ways = {
        "--api-keys FILE": clients.api_keys_file is not None,
        "certificates_file": clients.certificates_file is not None,
        "trusted_header": clients.trusted_header is not None,
        "--anonymous": clients.anonymous,
    }
    chosen = [way for way, given in ways.items() if given]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} contradict each other: callers are told apart in one way")
    if clients.api_keys_file is not None:
        return ApiKeys.read(clients.api_keys_file)
    if clients.certificates_file is not None:
        if not verified:
            raise ConfigError("certificates_file needs tls.client_ca_file, the authority that signs clients' certificates")
        return Certificates.read(clients.certificates_file)
    if clients.trusted_header is not None:
        if not (verified or is_loopback(settings.host)):
            raise ConfigError(
                f"trusted_header on {settings.host}: whoever reaches the port could write it; listen on loopback, beside the "
                "mesh's proxy, or give tls.client_ca_file so that only the mesh connects"
            )
        return TrustedHeader(clients.trusted_header, clients.trusted_tenants)
    if not clients.anonymous and not is_loopback(settings.host):
        raise ConfigError(
            f"anybody who reaches {settings.host} could ask; give --api-keys FILE to tell clients apart, or --anonymous if that "
            "is meant"
        )
    return Anonymous()
