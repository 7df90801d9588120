"""A mutual TLS handshake in memory, with files: CA SERVER CLIENT NAME. Prints who the server thinks its client is."""

import ssl
import sys

ca, server_file, client_file, name = sys.argv[1:]


def context(purpose, file):
    made = ssl.SSLContext(purpose)
    made.load_cert_chain(file)
    made.load_verify_locations(ca)
    made.verify_mode = ssl.CERT_REQUIRED
    # What newer versions of Python check by default.
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    return made


to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
server = context(ssl.PROTOCOL_TLS_SERVER, server_file).wrap_bio(to_server, to_client, server_side=True)
client = context(ssl.PROTOCOL_TLS_CLIENT, client_file).wrap_bio(to_client, to_server, server_hostname=name)


def step(action):
    try:
        return action()
    except ssl.SSLWantReadError:
        return None


for _ in range(10):
    step(client.do_handshake)
    step(server.do_handshake)
client.write(b"hello")
assert server.read(5) == b"hello"
print(server.getpeercert()["subjectAltName"])
