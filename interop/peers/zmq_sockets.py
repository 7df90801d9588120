"""Many libzmq sockets in one process, each with a name: the commands of interop/src/sockets/, for libzmq.

Bytes are written as text of the characters 0 to 255.
"""

import threading
import time

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from lines import serve

# Milliseconds: a call that waits longer is an error, so that a test fails rather than hangs.
PATIENCE = 25_000

context = zmq.Context()
context.max_sockets = 8192
sockets = {}
monitors = {}
authenticator = None


class KnownKeys:
    """The clients that a CURVE server lets in: to libzmq's authentication handler."""

    def __init__(self):
        self.keys = set()

    def callback(self, domain, key):
        return key in self.keys


known = KnownKeys()


def to_bytes(text):
    return text.encode("latin-1")


def to_text(data):
    return data.decode("latin-1")


def options(kind, routing_id=None, subscribe=(), send_mark=None, receive_mark=None, heartbeat=None, linger=0,
            handover=False, mandatory=True, immediate=False, correlate=False, relaxed=False, verbose=False,
            verboser=False, no_drop=False, conflate=False, inverted=False, welcome=None, manual=False, security=None, wire=None,
            largest=None, dead_after=PATIENCE):
    """The options of libzmq for these settings."""
    yield zmq.LINGER, linger
    yield zmq.RCVTIMEO, PATIENCE
    yield zmq.SNDTIMEO, PATIENCE
    yield zmq.RECONNECT_IVL, 20
    if routing_id:
        yield zmq.ROUTING_ID, to_bytes(routing_id)
    for topic in subscribe if kind == "SUB" else ():
        yield zmq.SUBSCRIBE, to_bytes(topic)
    if send_mark is not None:
        yield zmq.SNDHWM, send_mark
    if receive_mark is not None:
        yield zmq.RCVHWM, receive_mark
    if heartbeat is not None:
        yield zmq.HEARTBEAT_IVL, heartbeat
        yield zmq.HEARTBEAT_TTL, dead_after
        yield zmq.HEARTBEAT_TIMEOUT, dead_after
    if kind in ("ROUTER", "REP") and handover:
        yield zmq.ROUTER_HANDOVER, 1
    if kind == "ROUTER" and mandatory:
        yield zmq.ROUTER_MANDATORY, 1
    if immediate:
        yield zmq.IMMEDIATE, 1
    if kind == "REQ" and correlate:
        yield zmq.REQ_CORRELATE, 1
    if kind == "REQ" and relaxed:
        yield zmq.REQ_RELAXED, 1
    if kind == "XPUB" and verbose:
        yield zmq.XPUB_VERBOSE, 1
    if kind == "XPUB" and verboser:
        yield zmq.XPUB_VERBOSER, 1
    if kind == "XPUB" and manual:
        yield zmq.XPUB_MANUAL, 1
    if kind in ("PUB", "XPUB") and no_drop:
        yield zmq.XPUB_NODROP, 1
    if kind in ("PUB", "XPUB") and welcome is not None:
        yield zmq.XPUB_WELCOME_MSG, to_bytes(welcome)
    if conflate:
        yield zmq.CONFLATE, 1
    if inverted:
        yield zmq.INVERT_MATCHING, 1
    yield from secure(**(security or {}))


def secure(plain_server=None, plain_client=None, curve_server=None, curve_client=None):
    if plain_server is not None:
        guard()
        authenticator.configure_plain(domain="*", passwords=plain_server)
        yield zmq.PLAIN_SERVER, 1
    if plain_client is not None:
        yield zmq.PLAIN_USERNAME, to_bytes(plain_client[0])
        yield zmq.PLAIN_PASSWORD, to_bytes(plain_client[1])
    if curve_server is not None:
        guard()
        known.keys.update(to_bytes(key) for key in curve_server["known"])
        authenticator.configure_curve_callback(domain="*", credentials_provider=known)
        yield zmq.CURVE_SERVER, 1
        yield zmq.CURVE_SECRETKEY, to_bytes(curve_server["secret"])
    if curve_client is not None:
        yield zmq.CURVE_SECRETKEY, to_bytes(curve_client["secret"])
        yield zmq.CURVE_PUBLICKEY, to_bytes(curve_client["public"])
        yield zmq.CURVE_SERVERKEY, to_bytes(curve_client["server"])


def guard():
    global authenticator
    if authenticator is None:
        authenticator = ThreadAuthenticator(context)
        authenticator.start()


def open(name, type, **settings):
    socket = context.socket(getattr(zmq, type))
    for option, value in options(type, **settings):
        socket.setsockopt(option, value)
    sockets[name] = socket


def close(name):
    sockets.pop(name).close()


def bind(name, to):
    # A port that somebody had before may take its time to be free again.
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            sockets[name].bind(to)
            break
        except zmq.ZMQError as error:
            if error.errno != zmq.EADDRINUSE or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    return {"endpoint": to_text(sockets[name].get(zmq.LAST_ENDPOINT).rstrip(b"\0"))}


def connect(name, to):
    sockets[name].connect(to)


def subscribe(name, topic):
    sockets[name].subscribe(to_bytes(topic))


def unsubscribe(name, topic):
    sockets[name].unsubscribe(to_bytes(topic))


def send(name, parts):
    sockets[name].send_multipart([to_bytes(part) for part in parts])


def try_send(name, parts):
    """Sends without waiting, and tells what became of it."""
    try:
        sockets[name].send_multipart([to_bytes(part) for part in parts], flags=zmq.DONTWAIT)
    except zmq.Again:
        return {"outcome": "full"}
    except zmq.ZMQError as error:
        if error.errno != zmq.EHOSTUNREACH:
            raise
        return {"outcome": "no peer"}
    return {"outcome": "sent"}


def recv(name, within=PATIENCE):
    """Receives a message, which must come unless `within` says how many milliseconds to wait for it."""
    if not sockets[name].poll(within):
        if within == PATIENCE:
            raise TimeoutError(f"{name} has received nothing")
        return {"parts": None}
    return {"parts": [to_text(part) for part in sockets[name].recv_multipart()]}


def pattern(size):
    """As many bytes as that, which repeat after 251; the first is none that makes a subscription."""
    return (bytes(range(5, 256)) * (size // 251 + 1))[:size]


def send_shape(name, front, sizes):
    """Sends a message with parts of these sizes."""
    parts = [to_bytes(part) for part in front] + [pattern(size) for size in sizes]
    sockets[name].send_multipart(parts, copy=False)


def recv_shape(name, sizes):
    """Receives such a message, and answers what is in front of these parts."""
    parts = sockets[name].recv_multipart()
    front = len(parts) - len(sizes)
    for part, size in zip(parts[front:], sizes):
        if part != pattern(size):
            raise ValueError(f"{len(part)} bytes came instead of {size}, or others")
    return {"front": [to_text(part) for part in parts[:front]]}


def send_numbers(name, front, count, first=0, size=0):
    """Sends messages that number themselves, with so many bytes more in each."""
    front = [to_bytes(part) for part in front]
    for number in range(first, first + count):
        sockets[name].send_multipart([*front, numbered(number, size)])


def recv_numbers(name, count, first=0):
    """Receives such messages; all must be there, in order."""
    for expected in range(first, first + count):
        check(sockets[name].recv_multipart(), expected)


def numbered(number, size=0):
    # The first byte is none that makes a subscription.
    return b"#" + number.to_bytes(8, "big") + bytes(size)


def number_of(parts):
    return int.from_bytes(parts[-1][1:9], "big")


def check(parts, expected):
    found = number_of(parts)
    if found != expected:
        raise ValueError(f"{found} came instead of {expected}")


def recv_growing(name, quiet):
    """Receives numbers until none has come for so many milliseconds; any may be missing. Tells how many came."""
    count, before = 0, -1
    while sockets[name].poll(quiet):
        count, before = count + 1, larger(sockets[name].recv_multipart(), before)
    return {"count": count}


def recv_up_to(name, last):
    """Receives numbers up to this one; any other may be missing. Tells how many came."""
    count, before = 0, -1
    while before != last:
        count, before = count + 1, larger(sockets[name].recv_multipart(), before)
    return {"count": count}


def larger(parts, before):
    """The number of a message, which must be larger than the one before."""
    number = number_of(parts)
    if number <= before:
        raise ValueError(f"{number} came after {before}")
    return number


def fill(name, front, size, most):
    """Sends numbers as long as that works without waiting, and tells how many that was."""
    front = [to_bytes(part) for part in front]
    for number in range(most):
        # The kernel may take some more in a moment. (A publisher cannot be polled for that.)
        tries = 20
        while not sent_at_once(sockets[name], [*front, numbered(number, size)]):
            tries -= 1
            if tries == 0:
                return {"count": number}
            time.sleep(0.01)
    return {"count": most}


def sent_at_once(socket, parts):
    try:
        socket.send_multipart(parts, flags=zmq.DONTWAIT)
    except zmq.Again:
        return False
    return True


def exchange_numbers(name, front, count, ahead=1):
    """Sends numbers and receives them back, at most so many ahead."""
    front = [to_bytes(part) for part in front]
    socket, sent = sockets[name], 0
    for expected in range(count):
        while sent < count and sent < expected + ahead:
            socket.send_multipart([*front, numbered(sent)])
            sent += 1
        check(socket.recv_multipart(), expected)


def echo(name, count):
    """Sends back so many messages as they come."""
    socket = sockets[name]
    for _ in range(count):
        socket.send_multipart(socket.recv_multipart())


def crowd(type, to, count):
    """Connects many sockets at once, each with a message ready, and gathers the first message to each."""
    members = []
    for number in range(count):
        name = f"{number} of the crowd"
        open(name, type)
        connect(name, to)
        send(name, [str(number)])
        members.append(sockets[name])
    return {"answers": [to_text(member.recv_multipart()[-1]) for member in members]}


def watch(name):
    """Notes the events of a socket's connections from now on."""
    monitors[name] = sockets[name].get_monitor_socket()


def event(name, names, within=PATIENCE):
    """Waits until one of these events comes."""
    deadline = time.monotonic() + within / 1000
    while True:
        left = round(1000 * (deadline - time.monotonic()))
        if not monitors[name].poll(max(left, 0)):
            return {"event": None}
        message = recv_monitor_message(monitors[name])
        found = zmq.Event(message["event"]).name
        if found in names:
            return {"event": found, "value": message["value"]}


def poll(names, within):
    """Lets sockets do what libzmq does only while their program calls it."""
    poller = zmq.Poller()
    for name in names:
        poller.register(sockets[name], zmq.POLLIN)
    return {"ready": len(poller.poll(within))}


def proxy(kinds, ends):
    """A stock zmq_proxy between two new sockets, and one that captures if there is a third; answers where they are."""
    made = []
    for kind, to in zip(kinds, ends):
        socket = context.socket(getattr(zmq, kind))
        socket.linger = 0
        socket.bind(to)
        made.append(socket)
    threading.Thread(target=zmq.proxy, args=made, daemon=True).start()
    return {"ends": [to_text(socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0")) for socket in made]}


serve([open, close, bind, connect, subscribe, unsubscribe, send, try_send, recv, send_shape, recv_shape,
       send_numbers, recv_numbers, recv_growing, recv_up_to, fill, exchange_numbers, echo, crowd, watch, event, poll, proxy])
