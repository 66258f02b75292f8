"""`podpin` and `kubectl podpin` as people use them: in a pseudo-terminal, on a real cluster, with their own rights."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from tests.cli.pseudo_terminal import PseudoTerminal

if TYPE_CHECKING:
    from tests.e2e.stage import Stage

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT: Final = Path(__file__).parent.parent.parent
USERS: Final = ROOT / "manifests" / "users.yaml"
PODPIN: Final = (sys.executable, "-m", "podpin")


def environment(stage: Stage, kubeconfig: Path | None = None) -> dict[str, str]:
    """The environment of a person who works in the stage's namespace."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    return {**kept, **stage.cluster.environment(), "KUBECONFIG": str(kubeconfig or stage.cluster.kubeconfig)}


def podpin(stage: Stage, *words: str, kubeconfig: Path | None = None) -> tuple[int, str, str]:
    """Run it in a pipe: exit status, output, errors."""
    ended = subprocess.run(
        [*PODPIN, *words, "-n", stage.namespace],
        env=environment(stage, kubeconfig),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    stage.notes.append(f"podpin {' '.join(words)}: {ended.returncode}\n{ended.stdout}{ended.stderr}")
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stdout, ended.stderr


def editor(stage: Stage, user: str, *roles: str) -> Path:
    """The kubeconfig of somebody who has these roles in the stage's namespace, and nothing anywhere else."""
    stage.need("identities")
    stage.cluster.apply(USERS)
    for role in roles:
        stage.kubectl("create", "rolebinding", f"{user}-{role}", f"--clusterrole={role}", f"--user={user}")
    asked = {"namespace": stage.namespace, "verb": "patch", "group": "podpin.dev", "resource": "imagerollouts"}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": asked},
    }

    def may() -> object:
        answer = stage.cluster.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review))
        return json.loads(answer)["status"]["allowed"]

    stage.until(may, "the roles to hold")
    return stage.cluster.kubeconfig_for(user)


def test_the_tree_is_redrawn_in_place_while_a_version_fails_and_is_taken_back(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout())
    stage.until_stable("1.0.0")
    words = [*PODPIN, "tree", "web", "-w", "-n", stage.namespace]
    with PseudoTerminal(words, environment(stage)) as terminal:
        told = terminal.until(lambda told: told.count("ready  on ") == 2, "two Pods that are ready")
        assert "✓ ImageRollout web  RolledOut" in told
        assert "✓ Deployment web  2/2 available" in told
        stable = stage.release("1.0.0")
        stage.push("1.1.0", "crash")
        stage.look()
        told = terminal.until(lambda told: "is tried, for" in told, "the version that is tried")
        assert re.search(rf"◐ release \w+  is tried.*✓ release {stable}  stable", told, re.DOTALL)
        terminal.until(lambda told: "exited with code" in told or "CrashLooping" in told, "why its Pod is not ready")
        told = terminal.until(lambda told: "↩ ImageRollout web  RolledBack" in told, "that it was taken back", 120)
        assert re.search(r"✗ release \w+  rejected \d+s ago  CrashLooping: ", told)
        assert len(re.findall("ImageRollout web", told)) == 1, "it is drawn in place"
        assert terminal.screen.ups > 5
        assert terminal.screen.colours > 5
        terminal.press(b"\x03")
        status, told = terminal.end()
    assert status == 130
    assert not terminal.screen.hidden, "the cursor is given back"
    assert "Traceback" not in told


def test_a_namespaces_editor_can_do_all_of_it_there_and_nothing_elsewhere(stage: Stage) -> None:
    anna = editor(stage, "anna", "edit")
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    first = stage.release("1.0.0")

    def ask(*words: str) -> tuple[int, str, str]:
        return podpin(stage, *words, kubeconfig=anna)

    status, out, _ = ask("get")
    assert status == 0
    assert re.search(r"✓ web +web:1.0.0 +\w{12} +RolledOut +1/1", out)
    status, out, err = ask("get", "-A")
    assert (status, out) == (1, "")
    assert 'User "anna" cannot list resource "imagerollouts"' in err

    stage.push("1.1.0")
    assert ask("reconcile", "web")[0] == 0
    status, out, _ = ask("status", "web", "--wait", "--timeout", "90s")
    assert status == 0
    assert ":1.1.0@" in out.splitlines()[-1]
    second = stage.release("1.1.0")

    status, out, err = ask("diff", "web", "1.0.0", "1.1.0")
    assert (status, err) == (0, "")
    assert {"--- release " + first + " (stable)", "+++ release " + second + " (stable)"} <= set(out.splitlines())
    assert "template" not in "".join(line for line in out.splitlines() if line[0] in "+-")

    status, out, _ = ask("rollback", "web")
    assert status == 0
    assert f"to release {first} (web:1.0.0@" in out
    stage.until_says("RolledBack", f"release {first} runs")
    assert ask("status", "web")[0] == 3
    assert ask("rollback", "web", first) == (
        1,
        "",
        f"podpin rollback: Nothing to go back to: release {first} runs already.\n",
    )
    status, out, _ = ask("why", "web")
    assert status == 0
    assert f"release {second} (web:1.1.0@" in out
    assert "asked for by rollback-to=previous" in out
    assert "RollbackRequested" in out

    assert ask("retry", "web", "anna: once more")[0] == 0
    stage.until_stable("1.1.0")
    # The same request as before: it is taken off, podpin sees that, and only then it is made again.
    assert ask("rollback", "web")[0] == 0
    stage.until_says("RolledBack", f"release {first} runs")
    assert stage.status()["requests"]["rollbackTo"] == "previous"

    status, out, _ = ask("history", "web")
    assert status == 0
    assert "retry=anna: once more" in json.dumps(stage.status()["history"])
    assert out.splitlines()[1].split()[:2] != []

    assert ask("pause", "web", "incident 7")[:2] == (
        0,
        "Paused web: nothing new begins or goes on, and what fails is still taken back.\n",
    )
    stage.push("1.2.0")
    assert ask("reconcile", "web")[0] == 0
    stage.until(lambda: stage.status()["waiting"]["reason"] == "Paused", "the pause to hold")
    assert "○ web:1.2.0 waits" in ask("get")[1]
    assert ask("approve", "web")[0] == 1
    assert ask("resume", "web") == (0, "Resumed web.\n", "")
    stage.until_stable("1.2.0")

    status, out, _ = ask("tree", "web")
    assert status == 0
    assert re.search(r"└─ ✓ Deployment web  1/1 available", out)
    assert re.search(r"✓ Pod web-\S+  ready", out)
    assert "\x1b" not in out


def test_approval_is_given_by_the_name_of_the_rollout_alone(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}, update={"mode": "Manual"}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0")
    stage.look()
    stage.until_says("AwaitingApproval")
    assert podpin(stage, "status", "web")[0] == 4
    status, out, err = podpin(stage, "diff", "web")
    assert (status, err) == (0, "")
    assert f"+++ release {stage.status()['waiting']['release']}" in out.splitlines()
    assert f"+    image: {stage.registry.address}/{stage.repository}:1.1.0" in out.splitlines()
    status, out, _ = podpin(stage, "approve", "web")
    assert status == 0
    assert re.fullmatch(r"Approved: release \w+ \(web:1\.1\.0@\w+\) may begin\.\n", out)
    stage.until_stable("1.1.0")


def test_who_may_not_read_pods_and_records_sees_the_rest_and_is_told(stage: Stage) -> None:
    bert = editor(stage, "bert", "podpin-view", "podpin-edit")
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    stage.push("1.1.0", "crash")
    stage.look()
    stage.until_says("RolledBack")
    status, out, _ = podpin(stage, "tree", "web", kubeconfig=bert)
    assert status == 0
    assert "✓ release" in out
    assert "(you may not read Pods, so they are not shown: " in out
    status, out, err = podpin(stage, "diff", "web", kubeconfig=bert)
    assert status == 0
    assert ":1.1.0" in out
    assert err.startswith("You may not read the records, so only images are compared: ")
    status, out, _ = podpin(stage, "why", "web", kubeconfig=bert)
    assert status == 0
    assert "CrashLooping" in out
    assert podpin(stage, "pause", "web", kubeconfig=bert)[0] == 0


def test_it_is_a_plugin_of_kubectl_and_honours_no_color(stage: Stage) -> None:
    stage.push("1.0.0")
    stage.apply(stage.rollout(workload={"replicas": 1}))
    stage.until_stable("1.0.0")
    program = Path(sys.executable).parent / "kubectl-podpin"
    assert program.exists()
    path = f"{program.parent}:{os.environ['PATH']}"
    words = [str(stage.cluster.kubectl.program), "podpin", "get", "-n", stage.namespace]
    settings: tuple[tuple[bool, dict[str, str]], ...] = ((True, {}), (False, {"NO_COLOR": "1"}))
    for colour, more in settings:
        with PseudoTerminal(words, {**environment(stage), "PATH": path, **more}) as terminal:
            status, told = terminal.end()
        assert status == 0
        assert "✓ web" in told
        assert (terminal.screen.colours > 0) == colour
