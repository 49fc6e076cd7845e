"""What opening the vault costs beside bare Python. Prints, asserts nothing: ``dbus-run-session -- python -m bench.vault``.

Each line is the median of some starts of a new interpreter, in turns, so that a busy machine is busy for all of them. The Secret
Service is a gnome-keyring-daemon with folders of its own on the session bus that this is started on.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from mcpwrap.identity.keys import make_vault
from mcpwrap.identity.vault import Places
from mcpwrap.secret import Secret

ROUNDS = 15
COMMON = "import os, msgspec, hmac, hashlib, json; from mcpwrap.identity.vault import Places"
OPEN = COMMON + "; from mcpwrap.identity.keys import open_vault; open_vault(Places({state!r}, {data!r}), {setting!r}, os.environ)"
LIBRARY = COMMON + "; import keyring; keyring.get_password('mcpwrap', {epoch!r})"
WORDS = "correct horse battery staple"


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "HOME": folder, "MCPWRAP_PASSPHRASE": WORDS}
        env |= dict.fromkeys(("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"), folder)
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        daemon = ["gnome-keyring-daemon", "--unlock", "--components=secrets", "--daemonize"]
        subprocess.run(daemon, env=env, input=b"password\n", check=True, stdout=subprocess.DEVNULL)
        scripts = {"bare Python": "pass", "what a start imports anyway": COMMON}
        epoch = ""
        for label, setting in (("key file", f"file:{folder}/key"), ("passphrase", "passphrase"), ("Secret Service", "keyring")):
            places = Places(f"{folder}/{label}/state", f"{folder}/{label}/data")
            epoch = make_vault(places, setting, env, passphrase=Secret(WORDS)).header.epoch
            scripts[f"open_vault, {label}"] = OPEN.format(state=places.state, data=places.data, setting=setting)
        scripts["the library's get_password"] = LIBRARY.format(epoch=epoch)
        times: dict[str, list[float]] = {label: [] for label in scripts}
        for turn in range(ROUNDS + 1):
            for label, script in scripts.items():
                took = _once(script, env)
                if turn:  # the first one compiles
                    times[label].append(took)
    base = statistics.median(times["what a start imports anyway"])
    for label, each in times.items():
        median = statistics.median(each)
        print(f"{label:30} {median * 1000:7.1f} ms   {(median - base) * 1000:+7.1f} ms beside what is imported anyway")


def _once(script: str, env: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], env=dict(env), check=True)
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
