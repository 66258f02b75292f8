"""Debian's Prometheus and promtool, unpacked once into the user's cache: nothing is installed, no service starts.

`python -m tests.monitoring.prometheus` gets them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from tests.cluster.build import locked
from tests.cluster.commands import run
from tests.cluster.errors import ClusterError
from tests.cluster.places import cache
from tests.e2e.program import free_port
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAMS = ("prometheus", "promtool")


def programs() -> dict[str, Path]:
    """Where the programs are, by name; gets them where they are not there yet."""
    installed = {name: shutil.which(name) for name in PROGRAMS}
    if all(installed.values()):
        return {name: Path(path) for name, path in installed.items() if path}
    folder = cache() / "prometheus-debian"
    found = {name: folder / "usr" / "bin" / name for name in PROGRAMS}
    if not all(path.exists() for path in found.values()):
        with locked(cache() / ".prometheus-debian.lock"):
            if not all(path.exists() for path in found.values()):
                _unpack_into(folder)
    return found


def _unpack_into(folder: Path) -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise ClusterError(f"please install (Debian's name): prometheus, with {' and '.join(PROGRAMS)}")
    print(f"fetching Debian's prometheus into {folder}; this happens once", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prometheus-", dir=folder.parent) as place:
        Path(place).chmod(0o755)  # apt's own user may have to write here
        try:
            run("apt-get", "download", "-qq", "prometheus", cwd=Path(place))
        except ClusterError:  # its lists are old, or have never been fetched
            run("apt-get", "update", "-qq")
            run("apt-get", "download", "-qq", "prometheus", cwd=Path(place))
        (package,) = Path(place).glob("prometheus_*.deb")
        run("dpkg-deb", "-x", package, Path(place) / "files")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(place) / "files").replace(folder)


class Prometheus:
    """One that runs, to be asked."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression comes to now: samples with `metric` and `value`. AssertionError where it is wrong."""
        data = self._get("query", {"query": expression})
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        samples: list[dict[str, Any]] = data["result"]
        return samples

    def healthy_rules(self) -> dict[str, str]:
        """The health of each alert, by name: `ok` when it was evaluated without an error."""
        groups = self._get("rules", {})["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    def _get(self, what: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        address = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        assert body["status"] == "success", body
        data: dict[str, Any] = body["data"]
        return data


@contextmanager
def running(folder: Path, targets: Sequence[str], groups: Sequence[Mapping[str, Any]]) -> Iterator[Prometheus]:
    """A Prometheus that scrapes these addresses each second and evaluates these groups of rules."""
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{**group, "interval": "1s"} for group in groups]}))
    scrape = {"job_name": "podpin", "scrape_interval": "1s", "scrape_timeout": "1s"}
    configuration = {
        "global": {"evaluation_interval": "1s"},  # of subqueries too
        "scrape_configs": [{**scrape, "static_configs": [{"targets": list(targets)}]}],
        "rule_files": ["rules.yaml"],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    address, log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
    command: list[str | Path] = [
        programs()["prometheus"],
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    with (
        log.open("w") as output,
        subprocess.Popen(command, stdout=output, stderr=output, env=dict(os.environ)) as process,
    ):
        try:
            url = f"http://{address}"

            def ready() -> bool:
                assert process.poll() is None, log.read_text()[-4000:]
                with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
                    return bool(answer.status == 200)

            wait_for(ready, 60, "Prometheus to be ready", retry_on=(OSError,))
            yield Prometheus(url)
        finally:
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    for name, place in programs().items():
        print(f"{name}: {place}")
