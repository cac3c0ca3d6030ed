"""To whom a download may connect: names, what they resolve to, and what they resolve to a moment later."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving.artifacts.gate import Gate, Refused
from serving.artifacts.hosts import Hosts

PUBLIC = ("93.184.216.34", "2606:2800:220:1::1")
INTERNAL = ("10.96.3.4", "172.20.0.1", "192.168.1.9", "100.64.0.1", "fd00::7")
NEVER = (
    "127.0.0.1",
    "127.9.9.9",
    "::1",
    "169.254.169.254",
    "fe80::1",
    "fe80::1%eth0",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "198.18.0.1",
    "2001:db8::1",
    "fec0::2",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "not an address",
)
DISGUISED = ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::")


@pytest.mark.parametrize("address", PUBLIC)
def test_any_name_may_be_at_a_public_address(address):
    assert Hosts().refuses("models.example.org", address) is None


@pytest.mark.parametrize("address", [*INTERNAL, *DISGUISED, *NEVER])
def test_a_name_that_nobody_listed_may_be_nowhere_else(address):
    refusal = Hosts.read("*, minio.storage").refuses("models.example.org", address)
    assert refusal is not None
    assert address in refusal


@pytest.mark.parametrize("address", [*PUBLIC, *INTERNAL, *DISGUISED])
def test_a_listed_name_may_be_internal(address):
    for entries in ("minio.storage", "*.storage", "http://minio.storage", "MINIO.storage."):
        assert Hosts.read(entries).refuses("minio.storage", address) is None, entries


@pytest.mark.parametrize("address", NEVER)
def test_even_a_listed_name_may_not_be_the_node_or_a_metadata_service(address):
    assert Hosts.read("*, minio.storage").refuses("minio.storage", address) is not None


def test_a_network_opens_its_addresses_to_every_name():
    hosts = Hosts.read("10.96.0.0/12, 127.0.0.1 ::1")
    assert hosts.refuses("a.example", "10.100.0.1") is None
    assert hosts.refuses("b.example", "127.0.0.1") is None
    assert hosts.refuses("c.example", "::1") is None
    assert hosts.refuses("a.example", "10.0.0.1") is not None
    assert hosts.refuses("a.example", PUBLIC[0]) is not None
    assert hosts.refuses_name("https", "a.example") is None
    assert hosts.refuses_name("https", "10.100.0.1") is None
    assert hosts.refuses_name("https", "10.0.0.1") is not None


def test_names_that_are_not_listed_are_refused_where_names_are_listed():
    hosts = Hosts.read("models.example.org, *.cdn.example.org")
    assert hosts.refuses_name("https", "models.example.org") is None
    assert hosts.refuses_name("https", "eu.west.cdn.example.org") is None
    for name in ("example.org", "cdn.example.org", "evilcdn.example.org", "models.example.org.evil.example"):
        assert "not among the hosts" in str(hosts.refuses_name("https", name))
        assert "not among the hosts" in str(hosts.refuses(name, PUBLIC[0]))


def test_http_is_for_names_that_are_listed_with_it():
    hosts = Hosts.read("*, http://minio.storage, http://*.lan")
    assert hosts.refuses_name("http", "minio.storage") is None
    assert hosts.refuses_name("http", "files.lan") is None
    assert "use https" in str(hosts.refuses_name("http", "models.example.org"))


@pytest.mark.parametrize("entry", ["minio:9000", "http://minio/bucket", "https://minio", "a b_/c", "**", "10.0.0.1/8"])
def test_an_entry_that_is_none_is_named(entry):
    with pytest.raises(ValueError, match="without port and path"):
        Hosts.read(f"*, {entry}")


class Resolver:
    """Answers each question for a name with the next of these addresses."""

    def __init__(self, *addresses):
        self.addresses = list(addresses)

    def __call__(self, host, port, *_, **__):
        address = self.addresses.pop(0)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]


def connects(gate, address):
    gate.audit("socket.connect", (None, address))


def test_only_what_was_resolved_and_judged_is_connected_to():
    gate = Gate(Hosts.read("models.example.org"), print, Resolver(PUBLIC[0]))
    with pytest.raises(Refused, match="is not among the hosts"):
        connects(gate, (PUBLIC[0], 443))
    assert gate.getaddrinfo("models.example.org", 443)[0][4] == (PUBLIC[0], 443)
    connects(gate, (PUBLIC[0], 443))
    with pytest.raises(Refused, match="is not among the hosts"):
        connects(gate, ("93.184.216.35", 443))


def test_a_name_that_resolves_to_something_else_a_moment_later_gains_nothing():
    said = []
    gate = Gate(Hosts(), said.append, Resolver(PUBLIC[0], "10.0.0.1", "169.254.169.254"))
    gate.getaddrinfo("rebind.example", 80)
    for address in ("10.0.0.1", "169.254.169.254"):
        with pytest.raises(Refused, match=f"rebind.example is at {address}, which is not a public address"):
            gate.getaddrinfo("rebind.example", 80)
        with pytest.raises(Refused, match=address):
            connects(gate, (address, 80))
    connects(gate, (PUBLIC[0], 80))
    assert said == ["rebind.example is at 10.0.0.1, which is not a public address", "10.0.0.1 is not a public address"]


def test_of_several_addresses_those_that_are_allowed_are_left():
    def resolve(host, port):
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in ("10.0.0.1", PUBLIC[0])]

    assert [entry[4][0] for entry in Gate(Hosts(), print, resolve).getaddrinfo("a.example", 443)] == [PUBLIC[0]]


def test_nothing_is_sent_past_the_gate_without_a_connection():
    gate = Gate(Hosts(), print)
    for event in ("socket.sendto", "socket.sendmsg"):
        with pytest.raises(Refused):
            gate.audit(event, (None, ("10.0.0.1", 53)))
    gate.audit("socket.sendmsg", (None, None))
    with pytest.raises(Refused, match="only TCP and UDP"):
        gate.audit("socket.connect", (None, "/run/docker.sock"))
    gate.audit("open", ("/etc/hosts", "r", 0))


def test_in_a_process_with_the_gate_the_first_answer_of_the_resolver_is_the_one_that_counts():
    """A server at the second one, which is loopback, hears nothing, whichever library asks."""
    program = """
import asyncio, socket, sys, urllib3
from serving.artifacts.gate import Gate
from serving.artifacts.hosts import Hosts
port, answers = int(sys.argv[1]), ["93.184.216.34"] + ["127.0.0.1"] * 9
def resolve(host, port, *_, **__):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), port))]
gate = Gate(Hosts(), print, resolve)
gate.install()
socket.getaddrinfo("rebind.example", port)
def urllib():
    urllib3.PoolManager(retries=False, timeout=5).request("GET", f"http://rebind.example:{port}/")
def sockets():
    socket.create_connection(("rebind.example", port), 5)
def literal():
    socket.socket().connect(("127.0.0.1", port))
def loop():
    asyncio.run(asyncio.open_connection("rebind.example", port))
for attempt in (urllib, sockets, literal, loop):
    try:
        attempt()
    except Exception as error:
        assert "127.0.0.1" in str(error) and "not a public address" in str(error), (attempt, error)
    else:
        sys.exit(f"{attempt} went through")
print("left:", len(answers))
"""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)
        heard = []
        thread = threading.Thread(target=lambda: heard.append(server.accept()))
        thread.start()
        port = server.getsockname()[1]
        environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        done = subprocess.run(
            [sys.executable, "-c", program, str(port)], env=environ, capture_output=True, text=True, check=False
        )
        with socket.create_connection(("127.0.0.1", port)) as own:  # the first that is heard is this one
            thread.join()
            assert heard[0][1] == own.getsockname()
        heard[0][0].close()
    assert done.stdout.splitlines()[-1] == "left: 6", done.stderr
