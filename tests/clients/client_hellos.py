"""Writes down what clients say first, with the fingerprints that other programs make of it.

    pip install curl_cffi ja4plus pyja3
    python client_hellos.py > ../../proxy-userspace/src/tls/client_hellos.txt

Real ones: browsers as `curl_cffi` speaks like them, and curl, openssl, Python, Node.js and Java as far as they are
installed. Made ones: what real clients rarely do. JA4 is `ja4plus`'s, but where its reading of ALPN is not that of the
specification; JA3 is `pyja3`'s. Of each hello what is random and no part of a fingerprint is zeroed (random, session id,
keys), so that it becomes small.
"""

import base64
import hashlib
import importlib.metadata
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import zlib

import dpkt
from curl_cffi import CurlOpt, requests
from curl_cffi.requests import BrowserType
from ja3.ja3 import convert_to_ja3_segment, parse_variable_array, process_extensions
from ja4plus.fingerprinters.ja4 import generate_ja4
from ja4plus.utils.tls_utils import parse_tls_handshake

NAME = "shop.example.com"


def message_of(stream):
    """The message, without the heads of its records; None if it is not all there."""
    message, at = b"", 0
    while at + 5 <= len(stream):
        length = int.from_bytes(stream[at + 3 : at + 5], "big")
        message += stream[at + 5 : at + 5 + length]
        at += 5 + length
    if len(message) < 4:
        return None
    end = 4 + int.from_bytes(message[1:4], "big")
    return message[:end] if len(message) >= end else None


def caught(speak):
    """What a client says first to a port that `speak` is told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        port = listener.getsockname()[1]
        client = threading.Thread(target=quietly, args=(speak, port))
        client.start()
        connection, _ = listener.accept()
        stream = b""
        with connection:
            connection.settimeout(30)
            while message_of(stream) is None:
                some = connection.recv(65536)
                assert some, "the client has gone"
                stream += some
        client.join()
    return message_of(stream)


def quietly(speak, port):
    # Nobody answers the client: that it complains is no news.
    try:
        speak(port)
    except Exception:
        pass


def browser(kind):
    def speak(port):
        resolve = {CurlOpt.RESOLVE: [f"{NAME}:{port}:127.0.0.1"]}
        requests.get(f"https://{NAME}:{port}/", impersonate=kind, timeout=10, curl_options=resolve)

    return speak


def command(*words):
    def speak(port):
        words_for = [word.replace("PORT", str(port)) for word in words]
        subprocess.run(words_for, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)

    return speak


def python(change, name=NAME):
    def speak(port):
        context = ssl.create_default_context()
        context.check_hostname = False
        change(context)
        with socket.create_connection(("127.0.0.1", port)) as plain:
            context.wrap_socket(plain, server_hostname=name)

    return speak


def real():
    for kind in sorted(kind.value for kind in BrowserType if "_" not in kind.value or "ndroid" in kind.value or "ios" in kind.value):
        yield kind, browser(kind)
    curl = ("curl", "-sk", "--connect-to", f"{NAME}:443:127.0.0.1:PORT", f"https://{NAME}/")
    yield "curl", command(*curl)
    yield "curl_http1", command(*curl, "--http1.1")
    yield "curl_tls12", command(*curl, "--tls-max", "1.2")
    yield "curl_address", command("curl", "-sk", "https://127.0.0.1:PORT/")
    openssl = ("openssl", "s_client", "-connect", "127.0.0.1:PORT")
    yield "openssl", command(*openssl, "-servername", NAME)
    yield "openssl_no_name", command(*openssl, "-noservername")
    yield "openssl_tls12", command(*openssl, "-tls1_2", "-servername", NAME, "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
    yield "openssl_tls13", command(*openssl, "-tls1_3", "-alpn", "h3,h2", "-groups", "P-521:X448")
    yield "openssl_tls10", command(*openssl, "-tls1", "-cipher", "ALL:@SECLEVEL=0", "-noservername")
    yield "python", python(lambda context: None)
    yield "python_alpn", python(lambda context: context.set_alpn_protocols(["http/1.1"]))
    yield "python_no_name", python(lambda context: None, None)
    if shutil.which("node"):
        ask = f"require('https').get({{host:'127.0.0.1',port:PORT,servername:'{NAME}'}}).on('error',()=>0)"
        yield "node", command("node", "-e", ask)
    if shutil.which("java"):
        source = os.path.join(tempfile.mkdtemp(), "Ask.java")
        with open(source, "w", encoding="ascii") as file:
            file.write(
                "public class Ask { public static void main(String[] a) throws Exception {"
                'new java.net.URL("https://localhost:" + a[0] + "/").openStream(); } }'
            )
        yield "java", command("java", source, "PORT")


def vector(size, content):
    return len(content).to_bytes(size, "big") + content


def words(*numbers):
    return b"".join(struct.pack("!H", number) for number in numbers)


def made(version=0x0303, suites=(0x1301, 0xC02B, 0x00FF), extensions=None):
    body = struct.pack("!H", version) + bytes(32) + vector(1, b"") + vector(2, words(*suites)) + b"\x01\x00"
    if extensions is not None:
        body += vector(2, b"".join(words(number) + vector(2, content) for number, content in extensions))
    return b"\x01" + vector(3, body)


def server_name():
    return 0, vector(2, b"\x00" + vector(2, NAME.encode()))


def alpn(*protocols):
    return 16, vector(2, b"".join(vector(1, protocol) for protocol in protocols))


def algorithms(*numbers):
    return 13, vector(2, words(*numbers))


def versions(*numbers):
    return 43, vector(1, words(*numbers))


# The specification says: where the first or last byte is not alphanumeric, the first and last digit of the hex form.
# Its examples come first. ja4plus 1.4 writes something else for these.
ODD_PROTOCOLS = {
    b"\xab": "ab",
    b"\xab\xcd": "ad",
    b"0\xab": "3b",
    b"01\xab\xcd": "3d",
    b"0\xab\xcd1": "01",
    b"h-": "6d",
    b"\x00a": "01",
    b"_": "5f",
}


def synthetic():
    tls13 = versions(0x0304, 0x0303)
    yield "made_no_extensions", made(0x0301, (0x002F, 0x0035)), None
    yield "made_empty_extensions", made(extensions=[]), None
    yield "made_ssl3", made(0x0300), None
    yield "made_unknown_version", made(0x0305, extensions=[server_name()]), None
    yield "made_name_alone", made(extensions=[server_name()]), None
    yield "made_name_and_alpn_alone", made(extensions=[alpn(b"h2"), server_name()]), None
    yield "made_no_algorithms", made(extensions=[server_name(), tls13, (10, vector(2, words(29)))]), None
    yield "made_algorithms_with_grease", made(extensions=[tls13, algorithms(0x2A2A, 0x0403, 0x0804)]), None
    grease = [(0x1A1A, b""), versions(0xFAFA, 0x0302, 0x0304), alpn(b"h2"), (0xFAFA, b"\x00")]
    yield "made_grease", made(suites=(0x0A0A, 0x1302, 0x1301, 0xEAEA), extensions=grease), None
    yield "made_grease_alone", made(suites=(0x0A0A,), extensions=[(0x1A1A, b""), versions(0xFAFA)]), None
    many = [(0x6000 + number, b"") for number in range(120)]
    yield "made_many_extensions", made(extensions=many), None
    yield "made_many_suites", made(suites=range(0x6000, 0x6000 + 150), extensions=[tls13]), None
    yield "made_no_protocol", made(extensions=[alpn(), tls13]), None
    yield "made_one_letter", made(extensions=[alpn(b"x"), tls13]), None
    yield "made_second_protocol_odd", made(extensions=[alpn(b"http/1.1", b"\xff"), tls13]), None
    for number, (protocol, expected) in enumerate(ODD_PROTOCOLS.items()):
        yield f"made_odd_protocol_{number}", made(extensions=[alpn(protocol), tls13]), expected


def zeroed(message):
    """The message without what is random."""
    message = bytearray(message)
    message[6:38] = bytes(32)
    at = 38
    message[at + 1 : at + 1 + message[at]] = bytes(message[at])
    at += 1 + message[at]
    at += 2 + int.from_bytes(message[at : at + 2], "big")
    at += 1 + message[at]
    at += 2
    while at < len(message):
        number, length = struct.unpack("!HH", message[at : at + 4])
        at += 4
        if number == 51:
            share = at + 2
            while share < at + length:
                size = int.from_bytes(message[share + 2 : share + 4], "big")
                message[share + 4 : share + 4 + size] = bytes(size)
                share += 4 + size
        if number == 0xFE0D:
            message[at + 6 : at + length] = bytes(max(0, length - 6))
        at += length
    return bytes(message)


def ja3_of(message):
    hello = dpkt.ssl.TLSHandshake(message).data
    _, past = parse_variable_array(hello.data, 1)
    suites, _ = parse_variable_array(hello.data[past:], 2)
    parts = [str(hello.version), convert_to_ja3_segment(suites, 2)] + process_extensions(hello)
    return hashlib.md5(",".join(parts).encode()).hexdigest()


def ja4_of(message, alpn_part):
    made_of_it = generate_ja4(parse_tls_handshake(b"\x16\x03\x01" + vector(2, message)))
    if alpn_part is None:
        return made_of_it
    return made_of_it[:8] + alpn_part + made_of_it[10:]


def main():
    version = importlib.metadata.version
    tools = ", ".join(f"{tool} {version(tool)}" for tool in ("curl_cffi", "ja4plus", "pyja3"))
    own = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split(" libcurl")[0]
    print("# What clients say first: name, JA4, JA3, and the message (zlib, base64).")
    print(f"# Made by tests/clients/client_hellos.py with {tools}, {own}, {ssl.OPENSSL_VERSION}.")
    print("# Random bytes, session ids and keys are zeroed. made_odd_protocol_*: ALPN as JA4's specification has it.")
    hellos = [(name, zeroed(caught(speak)), None) for name, speak in real()] + list(synthetic())
    seen = set()
    for name, message, alpn_part in hellos:
        ja4, ja3 = ja4_of(message, alpn_part), ja3_of(message)
        # Browsers that say the same are written down once.
        if (ja4, len(message)) in seen:
            print(f"{name}: as another one", file=sys.stderr)
            continue
        seen.add((ja4, len(message)))
        print(name, ja4, ja3, base64.b64encode(zlib.compress(message, 9)).decode())


if __name__ == "__main__":
    main()
