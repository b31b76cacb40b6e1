"""TLS: the gateway's certificate, and the authority that clients' certificates are held against; both read again on change."""

import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path

import grpc

from grpc_api.settings import TlsSettings
from grpc_api.watched import Watched
from guard.errors import ConfigError

_MAX_BYTES = 1 << 20


def server_credentials(settings: TlsSettings) -> grpc.ServerCredentials | None:
    """Return what a port is opened with, None without TLS; ConfigError names the file that is wrong.

    A handshake takes the certificate that lies there then; calls under way keep theirs.
    """
    certificate, key, authority = settings.certificate_file, settings.key_file, settings.client_ca_file
    if certificate is None or key is None:
        return None

    def read() -> grpc.ServerCertificateConfiguration:
        _check_pair(certificate, key)
        roots = None if authority is None else _read(authority, "the clients' authority")
        pair = (_read(key, "the private key"), _read(certificate, "the certificate"))
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)

    watched = Watched([path for path in (certificate, key, authority) if path is not None], read)
    return grpc.dynamic_ssl_server_credentials(
        watched.value, lambda: watched.value, require_client_authentication=authority is not None
    )


def peer_names(auth: Mapping[str, Iterable[bytes]]) -> list[str]:
    """Return the subject alternative names of a verified client certificate, as gRPC's authentication context holds them."""
    return [name.decode("utf-8", "replace") for name in auth.get("x509_subject_alternative_name", [])]


def _check_pair(certificate: Path, key: Path) -> None:
    _check_private(key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")  # never ask at a terminal
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror if not isinstance(error, ssl.SSLError) else (error.reason or "they are no PEM files").lower()
        raise ConfigError(f"the certificate {certificate} and the key {key} are no pair that can be used: {reason}") from None


def _check_private(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise ConfigError(f"cannot read the private key at {key}: {error.strerror}") from None
    if mode & 0o007:
        raise ConfigError(f"private key {key} is open to other users (mode {mode & 0o777:03o}); run chmod 600 on it")


def _read(path: Path, what: str) -> bytes:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path} has more than {_MAX_BYTES} bytes; that is not {what}")
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {what} at {path}: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise ConfigError(f"{path} is not {what}: it holds no PEM block")
    return content
