"""A stock zmq_proxy between a ROUTER and a DEALER, or one that drops a message."""

import threading

import zmq

from lines import serve

context = zmq.Context()


def bind(frontend, backend):
    sockets = []
    for kind, to in ((zmq.ROUTER, frontend), (zmq.DEALER, backend)):
        socket = context.socket(kind)
        socket.linger = 0
        socket.bind(to)
        sockets.append(socket)
    return sockets


def forward(sockets, drop):
    """Hands messages on in both directions, but for the one with this number among those from the backend."""
    frontend, backend = sockets
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    number = 0
    while True:
        for socket, _ in poller.poll():
            message = socket.recv_multipart()
            if socket is frontend:
                backend.send_multipart(message)
            else:
                number += 1
                if number != drop:
                    frontend.send_multipart(message)


def proxy(frontend, backend, drop=None):
    """Binds both ends and shovels messages until the process ends; answers where they are."""
    sockets = bind(frontend, backend)
    if drop is None:
        threading.Thread(target=zmq.proxy, args=sockets, daemon=True).start()
    else:
        threading.Thread(target=forward, args=(sockets, drop), daemon=True).start()
    ends = [socket.get(zmq.LAST_ENDPOINT).rstrip(b"\0").decode() for socket in sockets]
    return {"frontend": ends[0], "backend": ends[1]}


serve([proxy])
