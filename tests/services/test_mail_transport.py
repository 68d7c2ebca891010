"""The transports of mails: encryption, log-in and slow servers, and files."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from api import clock
from api.config.mail_parsers import SmtpServer
from api.services.mail_transport import FileTransport, RetryLater, ServerUnavailable, SmtpTransport
from api.storage.database import new_id
from tests.support.mail_server import mail_server, only
from tests.support.patience import PATIENCE_SECONDS

SENDER = "Charter <no-reply@example.com>"
LOCAL = "127.0.0.1"


def mail() -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = SENDER, "reader@example.com", "Test"
    message.set_content("Gr\u00fc\u00dfe")
    return message


def send(server: SmtpServer, seconds: float = PATIENCE_SECONDS) -> str:
    transport = SmtpTransport(server, SENDER, seconds)
    try:
        return transport.send(UUID(int=1), "test", mail())
    finally:
        transport.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(clock.now() - timedelta(days=1))
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(LOCAL))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let clients trust the certificate."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))


@pytest.mark.usefixtures("trusted")
def test_mails_are_encrypted_with_starttls(server_context: ssl.SSLContext) -> None:
    with mail_server(tls_context=server_context, require_starttls=True) as server:
        assert send(server.settings._replace(security="starttls")).startswith("250 ")
        assert server.to == ["reader@example.com"]


@pytest.mark.usefixtures("trusted")
def test_a_user_logs_in_over_tls(server_context: ssl.SSLContext) -> None:
    options = {"tls_context": server_context, "auth_required": True, "authenticator": only("hunter2")}
    with mail_server(**options) as server:
        known = SmtpServer(LOCAL, server.port, "user", "hunter2", "starttls")
        assert send(known).startswith("250 ")
        with pytest.raises(ServerUnavailable, match="535"):
            send(known._replace(password="wrong"))
        SmtpTransport(known, SENDER).probe()
        with pytest.raises(ServerUnavailable, match="535"):
            SmtpTransport(known._replace(password="wrong"), SENDER).probe()
    assert len(server.mails) == 1


def test_a_certificate_that_is_not_trusted_gets_no_mail(server_context: ssl.SSLContext) -> None:
    with mail_server(tls_context=server_context) as server:
        with pytest.raises(ServerUnavailable, match="certificate verify failed"):
            send(server.settings._replace(security="starttls"))
        assert server.mails == []


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_host_gets_no_mail(server_context: ssl.SSLContext) -> None:
    with mail_server(tls_context=server_context) as server:
        with pytest.raises(ServerUnavailable, match="certificate verify failed"):
            send(server.settings._replace(host="localhost", security="starttls"))
        assert server.mails == []


def test_a_server_without_starttls_gets_no_mail() -> None:
    with mail_server() as server:
        with pytest.raises(ServerUnavailable, match="STARTTLS"):
            send(server.settings._replace(security="starttls"))
        assert server.mails == []
        assert send(server.settings._replace(security="off")).startswith("250 ")


def test_only_a_server_on_this_host_needs_no_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as server:
        connect = socket.create_connection
        monkeypatch.setattr(socket, "create_connection", lambda _, *rest: connect((LOCAL, server.port), *rest))
        for host in (LOCAL, "localhost", "::1"):
            assert send(server.settings._replace(host=host)).startswith("250 ")
        with pytest.raises(ServerUnavailable, match="STARTTLS"):
            send(server.settings._replace(host="mail.example.com"))


@dataclass
class Script:
    """A server that sends the lines of a script, one for each line that it receives."""

    listener: socket.socket
    lines: list[bytes]
    heard: list[bytes] = field(default_factory=list)

    def run(self) -> None:
        with suppress(OSError):
            connection, _ = self.listener.accept()
            with connection, connection.makefile("rb") as file:
                for line in self.lines:
                    connection.sendall(line)
                    self.heard.append(file.readline())


@contextmanager
def scripted(*lines: bytes) -> Iterator[tuple[SmtpServer, Script]]:
    with socket.create_server((LOCAL, 0)) as listener:
        script = Script(listener, [*lines])
        thread = threading.Thread(target=script.run)
        thread.start()
        yield SmtpServer(LOCAL, listener.getsockname()[1], "", "", "auto"), script
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([b"220-slow "], ServerUnavailable),
        ([b"220 fine\r\n", b"250-slow "], ServerUnavailable),
        ([b"220 fine\r\n", b"250 fine\r\n", b"250-slow "], RetryLater),
        ([b"220 fine\r\n", b"250 fine\r\n", b"250 fine\r\n", b"250 fine\r\n", b"354-slow "], RetryLater),
    ],
)
def test_a_slow_server_is_given_up(lines: list[bytes], error: type[Exception]) -> None:
    # It never completes its line.
    with scripted(*lines) as (server, script), pytest.raises(error):
        send(server, seconds=0.2)
    assert len(script.heard) == len(lines)


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([b"554 go away\r\n"], ServerUnavailable),
        ([b"nonsense\r\n"], ServerUnavailable),
        ([b"220 fine\r\n", b"421 busy\r\n", b"421 busy\r\n"], ServerUnavailable),
        ([b"220 fine\r\n", b"250 fine\r\n"], RetryLater),
    ],
)
def test_a_server_that_does_not_serve_is_reported(lines: list[bytes], error: type[Exception]) -> None:
    with scripted(*lines) as (server, _), pytest.raises(error):
        send(server)


def test_a_challenge_that_is_not_base64_is_reported() -> None:
    lines = [b"220 fine\r\n", b"250-fine\r\n250 AUTH CRAM-MD5\r\n", b"334 A\r\n"]
    with scripted(*lines) as (server, _), pytest.raises(ServerUnavailable, match=r"^Error: the server"):
        send(server._replace(user="user", password="hunter2"))


@pytest.mark.parametrize("method", [b"PLAIN", b"LOGIN", b"CRAM-MD5"])
def test_a_password_that_cannot_be_sent_stays_secret(method: bytes) -> None:
    lines = [b"220 fine\r\n", b"250-fine\r\n250 AUTH " + method + b"\r\n", b"334 QUE=\r\n", b"334 QUE=\r\n"]
    with scripted(*lines) as (server, _), pytest.raises(ServerUnavailable) as caught:
        send(server._replace(user="user", password="\u00fc"))
    assert "UnicodeEncodeError" in str(caught.value)
    assert "\\xfc" not in str(caught.value)


def test_a_host_that_is_no_name_is_reported() -> None:
    with pytest.raises(ServerUnavailable):
        send(SmtpServer("mail..example.com", 25, "", "", "auto"))


def test_files_are_for_the_owner_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folder = tmp_path / "mail"
    path = Path(FileTransport(folder).send(UUID(int=1), "test", mail()))
    assert path == folder / f"{UUID(int=1)}-test.eml"
    assert (folder.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert b"Subject: Test" in path.read_bytes()
    assert [record.getMessage() for record in caplog.records] == ["mail_written"]
    assert [*folder.iterdir()] == [path]


def test_the_newest_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.services.mail_transport._MOST_FILES", 3)
    ids = [new_id() for _ in range(5)]
    for mail_id in ids:
        FileTransport(tmp_path).send(mail_id, "test", mail())
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"{mail_id}-test.eml" for mail_id in ids[2:]]


@pytest.mark.parametrize("spoil", [lambda folder: folder.write_text(""), lambda folder: folder.symlink_to("/none/x")])
def test_an_unusable_folder_is_reported(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    folder = tmp_path / "mail"
    spoil(folder)
    with pytest.raises(ServerUnavailable, match=str(folder)):
        FileTransport(folder).send(UUID(int=1), "test", mail())
