"""Make an authority and certificates that it signed."""

import ssl
import subprocess
from pathlib import Path

from headcirc.gateway.settings import Tls


def make_authority(folder: Path, name: str = "ca") -> Path:
    """Write the certificate and the key of an authority; return the path of the certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    ask = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2"]
    subprocess.run([*ask, *files], cwd=folder, check=True, capture_output=True)
    return folder / f"{name}.crt"


def make_certificate(authority: Path, name: str) -> Tls:
    """Write a certificate for 127.0.0.1 and its key, signed by an authority."""
    folder = authority.parent
    (folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    ask = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}"]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.csr"]
    subprocess.run([*ask, *files], cwd=folder, check=True, capture_output=True)
    sign = [
        "openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", authority.name,
        "-CAkey", f"{authority.stem}.key", "-CAcreateserial", "-out", f"{name}.crt",
        "-days", "2", "-extfile", f"{name}.ext",
    ]  # fmt: skip
    subprocess.run(sign, cwd=folder, check=True, capture_output=True)
    return Tls(folder / f"{name}.crt", folder / f"{name}.key", authority)


def to_context(authority: Path, own: Tls | None) -> ssl.SSLContext:
    """Return the context of a client, with a certificate of its own or without one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority)
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context
