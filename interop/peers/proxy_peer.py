"""The proxy server pproxy, on a loopback port, for as long as the script runs."""

import asyncio
import threading

import pproxy
from lines import serve

# Seconds: what takes longer is an error, so that a test fails rather than hangs.
PATIENCE = 30

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()


def listen(protocol, login):
    """Starts a proxy, and tells its port. `login` is user:password, or empty for none."""

    async def start():
        server = pproxy.Server(f"{protocol}://127.0.0.1:0" + (f"#{login}" if login else ""))
        return await server.start_server({"rserver": [pproxy.Connection("direct://")]})

    started = asyncio.run_coroutine_threadsafe(start(), loop).result(PATIENCE)
    return {"port": started.sockets[0].getsockname()[1]}


serve([listen])
