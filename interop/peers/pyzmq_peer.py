"""A libzmq socket. Bytes are written as text of the characters 0 to 255."""

import time

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from lines import serve

# Milliseconds: a call that waits longer is an error, so that a test fails rather than hangs.
PATIENCE = 20_000

context = zmq.Context()
context.max_sockets = 4096
socket = None
monitor = None
authenticator = None


def to_bytes(text):
    return text.encode("latin-1")


def to_text(data):
    return data.decode("latin-1")


def new_socket(type, options):
    made = context.socket(getattr(zmq, type))
    made.linger = 0
    made.rcvtimeo = PATIENCE
    made.sndtimeo = PATIENCE
    for name, value in options.items():
        made.setsockopt(getattr(zmq, name), to_bytes(value) if isinstance(value, str) else value)
    return made


def open(type, options):
    global socket
    socket = new_socket(type, options)


def guard(users=None, deny=None):
    """Starts the authentication handler (ZAP) of this process; sockets opened later are subject to it."""
    global authenticator
    authenticator = ThreadAuthenticator(context)
    authenticator.start()
    if users is not None:
        authenticator.configure_plain(domain="*", passwords=users)
    if deny is not None:
        authenticator.deny(*deny)


def bind(to):
    socket.bind(to)
    return {"endpoint": to_text(socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0"))}


def connect(to):
    socket.connect(to)


def send(parts):
    socket.send_multipart([to_bytes(part) for part in parts])


def recv():
    return {"parts": [to_text(part) for part in socket.recv_multipart()]}


def recv_with(properties):
    """Receives a message, with properties of the peer that libzmq attaches to it."""
    frames = socket.recv_multipart(copy=False)
    found = {}
    for name in properties:
        try:
            found[name] = frames[-1].get(name)
        except zmq.ZMQError:
            found[name] = None
    return {"parts": [to_text(frame.bytes) for frame in frames], "properties": found}


def echo(count):
    for _ in range(count):
        socket.send_multipart(socket.recv_multipart(copy=False), copy=False)


def flood(count):
    """Sends messages that number themselves."""
    for number in range(count):
        socket.send(number.to_bytes(8, "big"))


def check_flood(count):
    """Receives such messages; all must be there, in order."""
    for number in range(count):
        found = int.from_bytes(socket.recv(), "big")
        if found != number:
            raise ValueError(f"{found} came instead of {number}")


def flood_multipart(parts, size):
    """Sends messages of many parts until it is killed."""
    message = [bytes(size)] * parts
    print('{"started": true}', flush=True)
    while True:
        socket.send_multipart(message)


def crowd(count, to):
    """Connects many DEALER sockets at once, each with its first message ready, and gathers the first answer to each."""
    sockets = []
    for number in range(count):
        member = new_socket("DEALER", {})
        member.connect(to)
        member.send(str(number).encode())
        sockets.append(member)
    return {"answers": [to_text(member.recv()) for member in sockets]}


def gather(count):
    """Receives the first message of many peers of a ROUTER, and answers each as soon as it has come."""
    found = []
    for _ in range(count):
        peer, body = socket.recv_multipart()
        socket.send_multipart([peer, b"answer to " + body])
        found.append(to_text(body))
    return {"found": found}


def call(bodies):
    """Makes calls, all at once, and gathers the replies by their ids: kind, and parts behind the head."""
    for number, body in enumerate(bodies):
        socket.send_multipart([b"\1" + number.to_bytes(8, "big"), to_bytes(body)])
    replies = [None] * len(bodies)
    for _ in bodies:
        head, *parts = socket.recv_multipart()
        replies[int.from_bytes(head[1:], "big")] = [head[0], *map(to_text, parts)]
    return {"replies": replies}


def cancel(number, body):
    """Makes a call and gives it up."""
    id = number.to_bytes(8, "big")
    socket.send_multipart([b"\1" + id, to_bytes(body)])
    socket.send(b"\4" + id)


def reply(count):
    """Gathers calls at a ROUTER and replies to the last one first; to "fail" with an error."""
    calls = [socket.recv_multipart() for _ in range(count)]
    for peer, head, body in reversed(calls):
        id = head[1:]
        if body == b"fail":
            socket.send_multipart([peer, b"\3" + id, b"refused", b"as asked for"])
        else:
            socket.send_multipart([peer, b"\2" + id, b"reply to " + body])


def watch():
    global monitor
    monitor = socket.get_monitor_socket()


def event(names, within):
    """Waits until one of these events comes, at most for so many milliseconds."""
    deadline = time.monotonic() + within / 1000
    while True:
        left = round(1000 * (deadline - time.monotonic()))
        if not monitor.poll(max(left, 0)):
            return {"event": None}
        message = recv_monitor_message(monitor)
        name = zmq.Event(message["event"]).name
        if name in names:
            return {"event": name, "value": message["value"]}


serve([open, guard, bind, connect, send, recv, recv_with, echo, flood, check_flood, flood_multipart, crowd, gather, call, cancel, reply, watch, event])
