"""A workflow of GitHub as far as the release's needs one: jobs in order, expressions, outputs, one tree per job.

Scripts are run as they stand. An action is stood in for by a function of the same name, or left out aloud; an action
that is neither ends the run, so a new step cannot be forgotten.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Contexts = dict[str, Any]
#: Gets the job's tree and the action's inputs; gives its outputs.
Action = Callable[[Path, dict[str, str]], dict[str, str]]
_KNOWN = {"id", "name", "uses", "with", "env", "run"}


@dataclass
class Workflow:
    """``Workflow(file, contexts, actions, left_out).run(checkout, programs)``."""

    file: Path
    #: ``github``, ``vars`` and ``secrets``, as expressions find them.
    contexts: Contexts
    actions: Mapping[str, Action]
    #: Actions that only GitHub can carry out, and what they would do.
    left_out: Mapping[str, str]
    ran: list[str] = field(default_factory=list)

    def run(self, checkout: Callable[[str], Path], programs: Path) -> None:
        """Run all jobs.

        Arguments:
            checkout: gives a job, by its name, a fresh copy of the tree.
            programs: a folder that comes first on the scripts' PATH.

        Raises RuntimeError naming the step that failed, with its output.
        """
        document = yaml.safe_load(self.file.read_text())
        needs: dict[str, Any] = {}
        for name, job in _in_order(document["jobs"]):
            if "uses" in job:
                say(f"{name}: LEFT OUT, the workflow {job['uses']}")
                needs[name] = {"outputs": {}}
                continue
            at: Contexts = {**self.contexts, "needs": needs, "steps": {}}
            at["env"] = resolved(document.get("env", {}), at)
            tree = checkout(name)
            for step in job["steps"]:
                assert step.keys() <= _KNOWN, f"{name}: {step.keys() - _KNOWN} is not understood here"
                outputs = self._step(name, step, tree, at, programs)
                if "id" in step:
                    at["steps"][step["id"]] = {"outputs": outputs}
            needs[name] = {"outputs": resolved(job.get("outputs", {}), at)}

    def _step(self, job: str, step: dict[str, Any], tree: Path, at: Contexts, programs: Path) -> dict[str, str]:
        if "uses" not in step:
            title = step.get("name") or step["run"].splitlines()[0]
            say(f"{job}: {title}")
            self.ran.append(title)
            return self._script(f"{job}: {title}", step, tree, at, programs)
        action = step["uses"].partition("@")[0]
        if action in self.left_out:
            if self.left_out[action]:
                say(f"{job}: LEFT OUT, {action}: {self.left_out[action]}")
            return {}
        if action not in self.actions:
            raise RuntimeError(f"{job}: nothing here stands for {action}")
        say(f"{job}: {action}, stood in for")
        self.ran.append(action)
        return self.actions[action](tree, resolved(step.get("with", {}), at))

    def _script(self, name: str, step: dict[str, Any], tree: Path, at: Contexts, programs: Path) -> dict[str, str]:
        output = tree.parent / f"{tree.name}.output"
        output.write_text("")
        github = {f"GITHUB_{key.upper()}": str(value) for key, value in self.contexts["github"].items()}
        environment = {
            **os.environ,
            **github,
            **at["env"],
            **resolved(step.get("env", {}), at),
            "GITHUB_OUTPUT": str(output),
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", _filled(step["run"], at)]
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{name} failed:\n{done.stdout}{done.stderr}")
        return dict(line.split("=", 1) for line in output.read_text().splitlines())


def say(text: str) -> None:
    """A line for the person who waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def resolved(values: Mapping[str, Any], at: Contexts) -> dict[str, str]:
    """Texts with their expressions replaced."""
    return {
        key: _filled(str(value).lower() if isinstance(value, bool) else str(value), at) for key, value in values.items()
    }


def _filled(text: str, at: Contexts) -> str:
    return re.sub(r"\$\{\{ *(.*?) *\}\}", lambda match: _value(match[1], at), text)


def _value(expression: str, at: Contexts) -> str:
    """A dotted path or a quoted text; of several joined by ``||`` the first that is not empty. Nothing else is used."""
    for part in expression.split(" || "):
        if found := part.strip("'") if part.startswith("'") else _looked_up(part, at):
            return found
    return ""


def _looked_up(path: str, at: Contexts) -> str:
    place: Any = at
    for key in path.split("."):
        assert re.fullmatch(r"[\w-]+", key), f"the expression {path!r} is not understood here"
        place = place.get(key, "") if isinstance(place, dict) else ""
    return str(place)


def _in_order(jobs: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Jobs after those they need."""
    left = dict(jobs)
    while left:
        name = next(name for name, job in left.items() if not set(_needs(job)) & left.keys())
        yield name, left.pop(name)


def _needs(job: dict[str, Any]) -> list[str]:
    needs = job.get("needs", [])
    return [needs] if isinstance(needs, str) else needs
