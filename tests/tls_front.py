"""TLS on loopback: an authority of the test's own, and listeners: one that decrypts and passes on, one that is mute."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from contextlib import contextmanager, suppress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class Authority:
    """A certificate authority whose files lie in *folder*; ``ca`` is what callers are given."""

    def __init__(self, folder):
        self.folder, self.ca = folder, folder / "ca.pem"
        self._key, self._name = ec.generate_private_key(ec.SECP256R1()), _name("authority of a test")
        constraints = [x509.BasicConstraints(ca=True, path_length=0)]
        self.ca.write_bytes(_pem(self._sign(self._name, self._key.public_key(), constraints)))

    def vouch(self, host):
        """A file with a key and a certificate for *host*, a name or an address."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_name(host), key.public_key(), [x509.SubjectAlternativeName([_general(host)])])
        path = self.folder / f"{host}.pem"
        path.write_bytes(_pem(certificate) + _private(key))
        return path

    def _sign(self, subject, public_key, extensions):
        now = dt.datetime.now(dt.timezone.utc)
        builder = x509.CertificateBuilder(self._name, subject, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - DAY).not_valid_after(now + DAY)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())


@contextmanager
def tls_front(certificate, port, pause_s=0.0):
    """Listen with *certificate* and pass everything on to *port*, far away by *pause_s*; gives where it listens."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, port, pause_s), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def tls_mute(certificate):
    """Shake hands with *certificate* with one who comes, and say nothing more; gives where it listens."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    done = threading.Event()

    def keep_waiting(listener):
        with listener.accept()[0] as peer, context.wrap_socket(peer, server_side=True):
            done.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=keep_waiting, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        done.set()
        thread.join()


def _accept(listener, context, port, pause_s):
    with suppress(OSError):  # it is closed, and so the test is over
        while True:
            peer, _ = listener.accept()
            threading.Thread(target=_pass_on, args=(peer, context, port, pause_s), daemon=True).start()


def _pass_on(peer, context, port, pause_s):
    time.sleep(pause_s)
    with peer, suppress(OSError), context.wrap_socket(peer, server_side=True) as caller, _connected(port) as server:
        back = threading.Thread(target=_copy, args=(server, caller), daemon=True)
        back.start()
        _copy(caller, server)
        back.join()


def _connected(port):
    return socket.create_connection(("127.0.0.1", port))


def _copy(source, target):
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host):
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    return x509.DNSName(host)


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key):
    encoding, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, kind, serialization.NoEncryption())
