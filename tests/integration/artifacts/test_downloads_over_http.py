"""Models over http and https, from servers that do what servers may do."""

import hashlib
import os
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from webkit import redirects, says, serving

from serving.artifacts import obtain, read_beside
from serving.errors import (
    ArtifactMismatch,
    ArtifactNotFound,
    ArtifactRefused,
    ArtifactTooLarge,
    ArtifactUnavailable,
    UnsupportedModel,
)
from serving.spec import ModelSource

MODEL = os.urandom(3 << 20)
SHA256 = hashlib.sha256(MODEL).hexdigest()
LOCAL = {"TIDEGATE_ARTIFACT_HOSTS": "http://localhost, http://127.0.0.1, 127.0.0.0/8, ::1"}


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def take(tmp_path, server):
    def take(path, sha256=None, base=None, **told):
        source = ModelSource(f"{base or f'http://127.0.0.1:{server.port}'}{path}", "sklearn", sha256)
        environ = {**os.environ, **LOCAL, **{f"TIDEGATE_ARTIFACT_{name}": value for name, value in told.items()}}
        return obtain(source, tmp_path / "cache", environ)

    return take


def test_a_file_is_downloaded_verified_and_kept_under_its_own_name(server, take):
    server.answers["/models/iris%201.joblib"] = says(200, MODEL)
    artifact = take("/models/iris%201.joblib", SHA256)
    assert artifact.path.read_bytes() == MODEL
    assert artifact.path.name == "iris 1.joblib"
    assert artifact.path.parent.name == SHA256


def test_what_was_promised_is_not_downloaded_again(server, take):
    server.answers["/m.joblib"] = says(200, MODEL)
    first = take("/m.joblib", SHA256)
    assert take("/m.joblib", SHA256).path == first.path
    assert len(server.asked) == 1


def test_what_is_not_promised_is_asked_for_every_time(server, take):
    server.answers["/m.joblib"] = says(200, b"one")
    assert take("/m.joblib").path.read_bytes() == b"one"
    server.answers["/m.joblib"] = says(200, b"two")
    assert take("/m.joblib").path.read_bytes() == b"two"


def test_replicas_that_want_the_same_model_at_once_download_it_once(server, take):
    begun, go_on = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go_on.wait(60)
        says(200, MODEL)(request)

    server.answers["/m.joblib"] = slow
    paths = []
    threads = [threading.Thread(target=lambda: paths.append(take("/m.joblib", SHA256).path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 3
    assert len(server.asked) == 1


def test_other_bytes_than_promised_are_refused(server, take, tmp_path):
    server.answers["/m.joblib"] = says(200, MODEL[:-1] + b"x")
    with pytest.raises(ArtifactMismatch, match=SHA256):
        take("/m.joblib", SHA256)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (404, ArtifactNotFound, "there is nothing: the server answered 404"),
        (410, ArtifactNotFound, "there is nothing: the server answered 410"),
        (401, ArtifactRefused, "the server answered 401: name a netrc file with credentials in NETRC"),
        (403, ArtifactRefused, "the server answered 403"),
        (500, ArtifactUnavailable, "the server answered 500"),
        (204, ArtifactUnavailable, "the server answered 204"),
        (206, ArtifactUnavailable, "the server answered 206"),
    ],
)
def test_a_server_without_the_model_is_quoted(server, take, status, error, why):
    server.answers["/m.joblib"] = says(status, b"")
    with pytest.raises(error, match=rf"^http://127\.0\.0\.1:\d+/m\.joblib: {why}"):
        take("/m.joblib")


def test_a_redirect_within_the_host_is_followed(server, take):
    server.answers["/m.joblib"] = redirects("/latest/../2/m.joblib?download=true", 301)
    server.answers["/2/m.joblib"] = says(200, MODEL)
    assert take("/m.joblib").path.read_bytes() == MODEL


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("http://localhost:{port}/real.joblib", "it redirects to http://localhost:{port}"),
        ("http://127.0.0.1:1/real.joblib", "it redirects to http://127.0.0.1:1"),
        ("//localhost:{port}/real.joblib", "it redirects to http://localhost:{port}"),
        ("http://169.254.169.254/latest/meta-data", "it redirects to http://169.254.169.254"),
        ("http://user:secret@127.0.0.1:{port}/real.joblib", "it redirects to a URL that holds a credential"),
        ("file:///etc/passwd", "it redirects to file://"),
        ("gopher://127.0.0.1/", "it redirects to a URL that must begin with"),
    ],
)
def test_a_redirect_to_another_host_is_refused(server, take, to, why):
    server.answers["/m.joblib"] = redirects(to.format(port=server.port))
    server.answers["/real.joblib"] = says(200, MODEL)
    with pytest.raises(ArtifactRefused) as refused:
        take("/m.joblib")
    assert why.format(port=server.port) in str(refused.value)
    assert "secret" not in str(refused.value)
    assert server.paths == ["/m.joblib"]


def test_a_circle_of_redirects_ends(server, take):
    server.answers["/m.joblib"] = redirects("/m.joblib")
    with pytest.raises(ArtifactUnavailable, match="redirects more than 5 times"):
        take("/m.joblib")


def test_a_model_that_says_that_it_is_too_large_is_refused_before_a_byte_of_it(server, take):
    server.answers["/m.joblib"] = says(200, b"", content_length=str(1 << 40))
    with pytest.raises(ArtifactTooLarge, match="it has 1099511627776 bytes, 1048576 are allowed"):
        take("/m.joblib", MAX_SIZE="1Mi")


def test_a_model_that_does_not_say_how_large_it_is_ends_at_the_limit(server, take):
    sent = 0

    def endless(request):
        nonlocal sent
        request.send_response(200)
        request.send_header("connection", "close")
        request.end_headers()
        request.close_connection = True
        try:
            while True:
                sent += request.wfile.write(bytes(1 << 16))
        except OSError:
            return

    server.answers["/m.joblib"] = endless
    with pytest.raises(ArtifactTooLarge, match="it is larger than 1048576 bytes"):
        take("/m.joblib", MAX_SIZE="1Mi")
    assert sent < 64 << 20


def test_an_answer_that_is_packed_though_nobody_asked_is_refused(server, take):
    server.answers["/m.joblib"] = says(200, b"...", content_encoding="gzip")
    with pytest.raises(ArtifactUnavailable, match="in the coding gzip"):
        take("/m.joblib")


def test_a_server_that_drips_is_left_at_the_deadline(server, take):
    stop = threading.Event()

    def drip(request):
        request.send_response(200)
        request.send_header("content-length", "1000000")
        request.end_headers()
        request.close_connection = True
        while not stop.wait(0.05):
            request.wfile.write(b"x")
            request.wfile.flush()

    server.answers["/m.joblib"] = drip
    begun = time.monotonic()
    try:
        with pytest.raises(ArtifactUnavailable, match="it was not there after 3 seconds"):
            take("/m.joblib", TIMEOUT="3s")
    finally:
        stop.set()
    assert time.monotonic() - begun < 60


def test_a_download_that_breaks_off_is_taken_up_where_it_broke_off(server, take):
    half = len(MODEL) // 2

    def broken(request):
        begin = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if begin:
            assert request.headers["if-range"] == '"v1"'
            told = {"content_range": f"bytes {begin}-{len(MODEL) - 1}/{len(MODEL)}", "etag": '"v1"'}
            says(206, MODEL[begin:], **told)(request)
        else:
            says(200, MODEL[:half], content_length=str(len(MODEL)), etag='"v1"')(request)

    server.answers["/m.joblib"] = broken
    assert take("/m.joblib", SHA256).path.read_bytes() == MODEL
    assert [headers.get("range") for _, headers in server.asked] == [None, f"bytes={half}-"]


def test_a_model_that_changed_meanwhile_is_taken_from_its_beginning(server, take):
    def changing(request):
        if len(server.asked) == 1:
            says(200, b"old" * 1000, content_length="9000", etag='"v1"')(request)
        else:
            says(200, MODEL, etag='"v2"')(request)

    server.answers["/m.joblib"] = changing
    assert take("/m.joblib").path.read_bytes() == MODEL


def test_a_range_that_nobody_asked_for_is_not_put_into_the_model(server, take):
    def confused(request):
        if "range" in request.headers:
            says(206, b"zzz", content_range="bytes 0-2/9000", etag='"v1"')(request)
        else:
            says(200, b"old" * 1000, content_length="9000", etag='"v1"')(request)

    server.answers["/m.joblib"] = confused
    with pytest.raises(ArtifactUnavailable, match="it broke off 4 times"):
        take("/m.joblib")


def test_a_download_that_always_breaks_off_is_given_up(server, take):
    server.answers["/m.joblib"] = says(200, MODEL[:1000], content_length=str(len(MODEL)))
    with pytest.raises(ArtifactUnavailable, match="it broke off 4 times"):
        take("/m.joblib")
    assert [headers.get("range") for _, headers in server.asked] == [None] * 4


def test_loopback_is_refused_unless_the_policy_names_it(server, take):
    server.answers["/m.joblib"] = says(200, MODEL)
    for hosts in ("*", "*, http://127.0.0.1", "*,http://localhost"):
        host = "localhost" if "localhost" in hosts else "127.0.0.1"
        with pytest.raises(ArtifactRefused):
            take("/m.joblib", base=f"http://{host}:{server.port}", HOSTS=hosts)
    assert server.asked == []


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0", "localhost"])
def test_loopback_by_another_name_is_refused_by_its_address(server, take, host):
    server.answers["/m.joblib"] = says(200, MODEL)
    with pytest.raises(ArtifactRefused, match=r"neither a public|not a public|http is not"):
        take("/m.joblib", base=f"http://{host}:{server.port}", HOSTS=f"*, http://{host}")
    assert server.asked == []


def test_http_is_refused_where_only_https_is_allowed(server, take):
    with pytest.raises(ArtifactRefused, match=r"http is not allowed for 127\.0\.0\.1"):
        take("/m.joblib", HOSTS="*, 127.0.0.1")
    with pytest.raises(ArtifactRefused, match="models may not come by http:, but by https:, s3:"):
        take("/m.joblib", SCHEMES="https, s3")
    assert server.asked == []


@pytest.fixture
def tls(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with serving(tls=context) as server:
        yield server, str(tmp_path / "ca.pem")


def test_https_is_verified_and_credentials_come_from_the_netrc_file(tls, take, tmp_path, monkeypatch):
    server, authority = tls
    server.answers["/m.joblib"] = says(200, MODEL)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    base = f"https://localhost:{server.port}"
    with pytest.raises(ArtifactUnavailable, match="certificate verify failed"):
        take("/m.joblib", base=base)
    monkeypatch.setenv("SSL_CERT_FILE", authority)
    assert take("/m.joblib", base=base).path.read_bytes() == MODEL
    assert server.asked[-1][1]["authorization"] == "Basic bWU6czNjcmV0"
    server.answers["/m.joblib"] = says(403, b"s3cret")
    with pytest.raises(ArtifactRefused) as refused:
        take("/m.joblib", base=base)
    assert "s3cret" not in str(refused.value)
    server.answers["/m.joblib"] = redirects(f"http://localhost:{server.port}/m.joblib")
    with pytest.raises(ArtifactRefused, match="it redirects to http://localhost"):
        take("/m.joblib", base=base)


def test_credentials_are_not_sent_in_the_clear(server, take, tmp_path, monkeypatch):
    server.answers["/m.joblib"] = says(200, MODEL)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    take("/m.joblib")
    assert "authorization" not in {name.lower() for name in server.asked[0][1]}


def test_a_proxy_of_the_environment_is_not_used(server, take, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/m.joblib"] = says(200, MODEL)
    assert take("/m.joblib").path.read_bytes() == MODEL


def test_a_server_that_is_not_there_is_named(take):
    with pytest.raises(ArtifactUnavailable, match="Connection refused"):
        take("/m.joblib", base="http://127.0.0.1:1")


def test_a_uri_with_credentials_is_refused_and_not_repeated(take):
    with pytest.raises(UnsupportedModel, match="holds a credential") as refused:
        take("/m.joblib", base="https://me:s3cret@example.org")
    assert "s3cret" not in str(refused.value)


def test_the_file_beside_a_model_is_read_where_there_is_one(server, monkeypatch):
    monkeypatch.setenv("TIDEGATE_ARTIFACT_HOSTS", LOCAL["TIDEGATE_ARTIFACT_HOSTS"])
    server.answers["/m.joblib.profile.json"] = says(200, b"{}")
    source = ModelSource(f"http://127.0.0.1:{server.port}/m.joblib", "sklearn")
    assert read_beside(source, ".profile.json", 1 << 20) == b"{}"
    assert read_beside(source, ".sig", 1 << 20) is None
    server.answers["/m.joblib.profile.json"] = says(200, bytes(2 << 20))
    with pytest.raises(ArtifactTooLarge):
        read_beside(source, ".profile.json", 1 << 20)


def test_a_replica_that_is_killed_takes_its_download_along(server, tmp_path):
    """And the next one clears up behind it."""
    begun, ended = threading.Event(), threading.Event()

    def hang(request):
        request.send_response(200)
        request.send_header("content-length", "1000000")
        request.end_headers()
        begun.set()
        request.connection.settimeout(60)
        with suppress(ConnectionResetError):
            assert request.connection.recv(1) == b""
        ended.set()

    server.answers["/m.joblib"] = hang
    program = (
        "import sys; from pathlib import Path; from serving.artifacts import obtain; "
        "from serving.spec import ModelSource; obtain(ModelSource(sys.argv[1], 'sklearn'), Path(sys.argv[2]))"
    )
    uri, cache = f"http://127.0.0.1:{server.port}/m.joblib", tmp_path / "cache"
    environ = {**os.environ, **LOCAL, "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen([sys.executable, "-c", program, uri, str(cache)], env=environ)
    assert begun.wait(60)
    process.kill()
    process.wait()
    assert ended.wait(60), "the process that downloads went on"
    assert [path.name[:10] for path in cache.iterdir()] == [".incoming-"]
    server.answers["/m.joblib"] = says(200, MODEL)
    obtain(ModelSource(uri, "sklearn"), cache, {**os.environ, **LOCAL})
    assert [path.name for path in cache.iterdir()] == [SHA256]
