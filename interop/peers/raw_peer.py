"""A bare stream socket, for bytes that no library would send. Bytes are written in hex."""

import socket as sockets

from lines import serve

# Seconds: a call that waits longer is an error, so that a test fails rather than hangs.
PATIENCE = 20

socket = None


def connect(to):
    global socket
    if to.startswith("tcp://"):
        host, port = to.removeprefix("tcp://").rsplit(":", 1)
        socket = sockets.create_connection((host, int(port)), timeout=PATIENCE)
    else:
        socket = sockets.socket(sockets.AF_UNIX)
        socket.settimeout(PATIENCE)
        name = to.removeprefix("ipc://")
        socket.connect("\0" + name[1:] if name.startswith("@") else name)


def send(data):
    socket.sendall(bytes.fromhex(data))


def recv(length):
    """Receives exactly so many bytes."""
    data = b""
    while len(data) < length:
        more = socket.recv(length - len(data))
        if not more:
            raise EOFError(f"only {data.hex()} came")
        data += more
    return {"data": data.hex()}


serve([connect, send, recv])
