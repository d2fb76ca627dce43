"""`python -m services.jwt_api --host 127.0.0.1 --port 8081`: binds a socket and serves on it."""

from services.jwt_api.server import serve
from services.serving.flags import listen

__all__ = ["serve"]

if __name__ == "__main__":
    serve(listen("services.jwt_api", "Serve the JWT API.", 8081))
