"""`python -m services.upstream --host 127.0.0.1 --port 8082`: binds a socket and serves on it."""

from services.serving.flags import listen
from services.upstream.server import serve

__all__ = ["serve"]

if __name__ == "__main__":
    serve(listen("services.upstream", "Serve the upstream.", 8082))
