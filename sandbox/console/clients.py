"""What the console asks others with, from the start of the serving process to its end."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from sandbox.console.exchanges import Exchanges
from sandbox.console.settings import Settings
from sandbox.console.swapping import Swapper
from sandbox.envoy.admin import AdminClient
from sandbox.envoy.stage import Stage


class Lookups(ThreadPoolExecutor):
    """Where asyncio looks names up. A look-up can't be cut short and may take many seconds: nobody waits."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002
        """Forget what is under way, whatever the event loop says at its end."""
        super().shutdown(wait=False, cancel_futures=True)


@asynccontextmanager
async def open_clients(app: FastAPI) -> AsyncGenerator[None]:
    """Set `app.state.admin`, `exchanges`, `stage`, `swapper` and `http`."""
    import httpx2

    settings: Settings = app.state.settings
    asyncio.get_running_loop().set_default_executor(Lookups(max_workers=4))
    app.state.admin = AdminClient(settings.admin_socket)
    app.state.exchanges = Exchanges(app.state.admin)
    app.state.stage = Stage(Path())
    app.state.swapper = Swapper(app.state.stage, app.state.admin)
    # All is plain HTTP: trusting no authority saves reading the list of all of them.
    async with httpx2.AsyncClient(trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as app.state.http:
        yield
    await app.state.exchanges.close()
    await app.state.admin.close()
