"""SCRAM-SHA-256 by the library scramp, carried over ZMTP commands on a bare Unix socket: no ZeroMQ library speaks it."""

import os
import socket as sockets
import struct
import tempfile

from lines import serve
from scramp import ScramClient, ScramMechanism

# Seconds: a call that waits longer is an error, so that a test fails rather than hangs.
PATIENCE = 30
SIGNATURE = bytes.fromhex("ff00000000000000017f0301")

folder = tempfile.TemporaryDirectory()
listener = None


class Stream:
    def __init__(self, socket):
        socket.settimeout(PATIENCE)
        self.socket = socket

    def read(self, length):
        data = b""
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise EOFError("the stream ended")
            data += more
        return data

    def greet(self, mechanism):
        self.socket.sendall(SIGNATURE + mechanism.encode().ljust(20, b"\0") + bytes(32))
        theirs = self.read(64)[12:32].rstrip(b"\0").decode()
        if theirs != mechanism:
            raise ValueError(f"they want {theirs}")

    def frame(self, flags, body):
        head = bytes([flags, len(body)]) if len(body) < 256 else bytes([flags | 2]) + struct.pack(">Q", len(body))
        self.socket.sendall(head + body)

    def command(self, name, text, properties=b""):
        message = text.encode()
        self.frame(4, bytes([len(name)]) + name.encode() + struct.pack(">I", len(message)) + message + properties)

    def read_frame(self):
        flags = self.read(1)[0]
        length = struct.unpack(">Q", self.read(8))[0] if flags & 2 else self.read(1)[0]
        return self.read(length)

    def read_command(self, expected):
        body = self.read_frame()
        name = body[1 : 1 + body[0]].decode()
        if name != expected:
            raise ValueError(f"{name} came instead of {expected}: {body.hex()}")
        data = body[1 + body[0] :]
        length = struct.unpack(">I", data[:4])[0]
        return data[4 : 4 + length].decode()


def properties(socket_type):
    name, value = b"Socket-Type", socket_type.encode()
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def login(path, user, password):
    """Logs in as a client, and lets a message go and come back."""
    socket = sockets.socket(sockets.AF_UNIX)
    socket.connect(path)
    stream = Stream(socket)
    stream.greet("SCRAM-SHA-256")
    client = ScramClient(["SCRAM-SHA-256"], user, password)
    stream.command("HELLO", client.get_client_first())
    client.set_server_first(stream.read_command("WELCOME"))
    stream.command("INITIATE", client.get_client_final(), properties("DEALER"))
    try:
        last = stream.read_command("READY")
    except ValueError as refusal:
        return {"refused": str(refusal)}
    # Raises when the server's signature is wrong.
    client.set_server_final(last)
    stream.frame(0, b"hello")
    return {"answer": stream.read_frame().decode()}


def listen():
    global listener
    path = os.path.join(folder.name, "socket")
    listener = sockets.socket(sockets.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(PATIENCE)
    return {"path": path}


def serve_one(user, password, iterations):
    """Takes one client in, and sends its first message back."""
    mechanism = ScramMechanism("SCRAM-SHA-256")
    salt, stored_key, server_key, count = mechanism.make_auth_info(password, iteration_count=iterations)

    def account(name):
        if name != user:
            raise KeyError(name)
        return salt, stored_key, server_key, count

    stream = Stream(listener.accept()[0])
    stream.greet("SCRAM-SHA-256")
    server = mechanism.make_server(account)
    server.set_client_first(stream.read_command("HELLO"))
    stream.command("WELCOME", server.get_server_first())
    # Raises when the client's proof is wrong.
    server.set_client_final(stream.read_command("INITIATE"))
    stream.command("READY", server.get_server_final(), properties("ROUTER"))
    message = stream.read_frame()
    stream.frame(0, message)
    return {"message": message.decode()}


serve([login, listen, serve_one])
