"""podpin's program runs with a part of the official client, and that part works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import asyncio, sys
from pathlib import Path
from podpin.adapters.kube import slim

slim.spare()
import podpin.serve
from podpin.adapters.kube import connection
from podpin.adapters.kube.api import Api
from podpin.errors import Unavailable

kubeconfig = Path(sys.argv[1])
kubeconfig.write_text('''
apiVersion: v1
kind: Config
current-context: x
contexts: [{name: x, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {token: t}}]
''')

async def main():
    api = Api(await connection.load(str(kubeconfig), None))
    try:
        await api.request("GET", "/version")
    except Unavailable:
        print("asked")
    await api.close()

asyncio.run(main())
print(*sorted({"requests", "oauthlib", "websocket"} & set(sys.modules)))
"""


def test_what_podpin_never_calls_is_not_loaded(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "kubeconfig")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["asked"], done.stderr


def test_who_has_the_whole_client_keeps_it() -> None:
    program = (
        "import kubernetes.client as whole; from podpin.adapters.kube import slim; slim.spare(); import kubernetes"
    )
    subprocess.run([sys.executable, "-c", f"{program}; assert kubernetes.client is whole"], check=True)
