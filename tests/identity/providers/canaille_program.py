"""PyPI `canaille` on loopback, in a process of its own: a second, independent provider.

Prints its issuer and ends with its standard input. Whoever is asked for at the sign-in is `ann` with the password ``any``.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from typing import Any


def main() -> None:
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "true"
    listening = socket.create_server(("127.0.0.1", 0))
    name = f"127.0.0.1:{listening.getsockname()[1]}"
    app = _app(name)
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listening.fileno())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://{name}", flush=True)
    sys.stdin.read()


def _app(name: str) -> Any:
    from canaille import create_app
    from canaille.app import models
    from canaille.backends import Backend
    from joserfc import jwk

    key = jwk.generate_key("RSA", 2048)
    key.ensure_kid()
    app = create_app(
        {
            "SECRET_KEY": os.urandom(16).hex(),
            "SERVER_NAME": name,
            "PREFERRED_URL_SCHEME": "http",
            "SESSION_COOKIE_SECURE": False,
            "WTF_CSRF_ENABLED": True,
            "CANAILLE": {"DATABASE": "memory", "JAVASCRIPT": False, "LOGGING": {"version": 1}, "ENABLE_REGISTRATION": False},
            "CANAILLE_OIDC": {
                "ACTIVE_JWKS": [key.as_dict(private=True)],
                "DYNAMIC_CLIENT_REGISTRATION_OPEN": True,
                "TRUSTED_DOMAINS": ["127.0.0.1"],
            },
        }
    )
    with app.app_context():
        backend = Backend.instance
        ann = models.User(
            formatted_name="Ann Ash",
            family_name="Ash",
            given_name="Ann",
            user_name="ann",
            emails=["ann@acme.example"],
            password="any",
        )
        backend.save(ann)
    return app


if __name__ == "__main__":
    main()
