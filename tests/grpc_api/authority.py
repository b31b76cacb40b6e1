"""A certificate authority for tests, by the program openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates with the subject alternative names that it is given."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self.own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        self._run("req", "-x509", "-nodes", *_KEY, "-days", "2", "-subj", f"/CN={name}",
                  "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
                  "-keyout", self.own.key, "-out", self.own.certificate)  # fmt: skip

    def sign(self, name: str, *alternatives: str) -> Pair:
        """Return a new pair with alternative names such as DNS:localhost or URI:spiffe://shop; replaces one of that name."""
        made, request, options = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key"), *(
            self._folder / f"{name}.{end}" for end in ("csr", "ext")
        )  # fmt: skip
        options.write_text(f"subjectAltName={','.join(alternatives)}\n")
        fresh = Pair(self._folder / f".{name}.pem", self._folder / f".{name}.key")
        self._run("req", "-nodes", "-new", *_KEY, "-subj", f"/CN={name}", "-keyout", fresh.key, "-out", request)
        self._run("x509", "-req", "-days", "1", "-in", request, "-CA", self.own.certificate, "-CAkey", self.own.key,
                  "-CAcreateserial", "-extfile", options, "-out", fresh.certificate)  # fmt: skip
        fresh.key.chmod(0o600)
        fresh.key.replace(made.key)
        fresh.certificate.replace(made.certificate)
        return made

    @staticmethod
    def _run(*words: object) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
