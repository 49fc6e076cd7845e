"""An MCP server that wants to know who asks: it checks the token that mcpwrap minted for it, with every call.

uv run --with "mcp>=2.3" --with "pyjwt[crypto]" server.py
"""

import json
import os
import subprocess
from pathlib import Path

import jwt
from mcp.server.mcpserver import Context, MCPServer

app = MCPServer("notes")


def check(token: str) -> dict:
    """The claims of `token`; raises `jwt.InvalidTokenError` where mcpwrap didn't make it, for this server, just now."""
    header = jwt.get_unverified_header(token)
    if header.keys() != {"alg", "kid", "typ"} or header["typ"] != "at+jwt":
        raise jwt.InvalidTokenError("this is no access token of mcpwrap's")
    keys = jwt.PyJWKSet.from_dict(json.loads(Path(os.environ["MCPWRAP_JWKS_FILE"]).read_text()))
    key = next((key for key in keys.keys if key.key_id == header["kid"]), None)
    if key is None or key.algorithm_name != header["alg"]:
        raise jwt.InvalidTokenError("it is signed with a key that isn't known")
    return jwt.decode(
        token, key, algorithms=["EdDSA", "ES256"], leeway=2,
        audience=os.environ["MCPWRAP_AUDIENCE"], issuer=os.environ["MCPWRAP_ISSUER"],
        options={"require": ["iss", "sub", "aud", "iat", "exp", "jti"], "strict_aud": True},
    )  # fmt: skip


def token_of(context: Context) -> str:
    """The token, whichever way mcpwrap.toml says that it comes (`via`). A server of your own needs one of the four."""
    meta = context.request_context.meta or {}
    if token := meta.get("mcpwrap/AGENT_TOKEN"):  # via = "meta": with each request
        return token
    if path := os.environ.get("AGENT_TOKEN_FILE"):  # via = "file": read it each time, it changes
        return Path(path).read_text()
    if token := os.environ.get("AGENT_TOKEN"):  # via = "env": mcpwrap restarts the server before it expires
        return token
    asked = subprocess.run(["mcpwrap", "token", "--credential", "AGENT_TOKEN"], capture_output=True, check=True)
    return json.loads(asked.stdout)["token"]  # via = "helper": ask for it


@app.tool()
def whoami(context: Context) -> str:
    """Who asks, and which agent asks for them."""
    try:
        claims = check(token_of(context))
    except jwt.InvalidTokenError as error:
        raise ValueError(f"not allowed: {error}") from None
    return f"{claims['sub']} ({claims['idp']}), through {claims['act']['sub']}, may {claims['scope']}"


if __name__ == "__main__":
    app.run()
