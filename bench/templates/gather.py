#!/usr/bin/env python3
"""Public chat templates, out of checkouts of repositories that hold some (their licences differ, so none is committed here):
    python3 bench/templates/gather.py OUT REPOSITORY…        a git directory, bare or not, of each
Taken are files *.jinja that name messages, JSON files with fields chat_template, and the strings of huggingface.js's packages/jinja/test/e2e.test.js. Equal ones are kept once."""
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path


def git(repository, *arguments):
    return subprocess.run(["git", f"--git-dir={repository}", *arguments], capture_output=True, check=True).stdout


def templates_in(value, name):
    if isinstance(value, dict):
        name = value.get("model_name") or value.get("name") or name
        template = value.get("chat_template")
        if isinstance(template, str):
            yield str(name), template
        for inner in value.values():
            yield from templates_in(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from templates_in(inner, name)


def javascript_strings(text):
    for name, quoted in re.findall(r'"?([\w./-]+)"?:\s*\{\s*chat_template:\s*("(?:[^"\\]|\\.)*"|`[^`]*`)', text):
        yield name, json.loads(re.sub(r"\\'", "'", quoted)) if quoted[0] == '"' else quoted[1:-1]


def of_repository(repository):
    for path in git(repository, "ls-tree", "-r", "--name-only", "HEAD").decode().splitlines():
        interesting = path.endswith(".jinja") or "llm_family" in path or "chat_template" in path and path.endswith(".json") or path.endswith("jinja/test/e2e.test.js")
        if not interesting:
            continue
        text = git(repository, "show", f"HEAD:{path}").decode(errors="replace")
        name = Path(path).stem
        try:
            if path.endswith(".jinja"):
                yield name, text
            elif path.endswith(".json"):
                yield from templates_in(json.loads(text), name)
            elif path.endswith(".js"):
                yield from javascript_strings(text)
        except ValueError as error:
            print("left out", path, error)


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    seen = set()
    for repository in sys.argv[2:]:
        for name, template in of_repository(repository):
            digest = hashlib.sha256(template.encode()).hexdigest()
            if "messages" not in template or digest in seen:
                continue
            seen.add(digest)
            (out / f"{re.sub('[^A-Za-z0-9.-]+', '-', name)}-{digest[:6]}.jinja").write_text(template, newline="")
    print(len(seen), "templates")
