"""Writes the table of values in chart/README.md from chart/values.yaml.

  chart-readme.py            writes it
  chart-readme.py --check    fails when it is not up to date, or a value has no `# --` comment
"""
import json
import pathlib
import re
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
VALUES = ROOT / "chart" / "values.yaml"
README = ROOT / "chart" / "README.md"
BEGIN, END = "<!-- values: written by .ci/chart-readme.py -->\n", "<!-- end of values -->\n"


def comments(text):
    """Key path -> its `# --` comment, read by indentation."""
    found, path, pending = {}, [], None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# --"):
            pending = stripped[4:].strip()
        elif stripped.startswith("#"):
            continue
        elif match := re.match(r"( *)([A-Za-z]+):", line):
            depth = len(match[1]) // 2
            path = path[:depth] + [match[2]]
            if pending:
                found[".".join(path)] = pending
            pending = None
        else:
            pending = None
    return found


def leaves(value, documented, path=""):
    """The values a user sets: a map is one when it has a comment of its own, or is empty."""
    if isinstance(value, dict) and value and path not in documented:
        for key, inner in value.items():
            yield from leaves(inner, documented, f"{path}.{key}" if path else key)
    else:
        yield path, value


def main():
    text = VALUES.read_text()
    documented = comments(text)
    rows = list(leaves(yaml.safe_load(text), documented))
    missing = [path for path, _ in rows if path not in documented]
    if missing:
        raise SystemExit(f"FAIL chart/values.yaml: no `# --` comment at {', '.join(missing)}")
    table = ["| value | default | what it does |", "|---|---|---|"]
    for path, value in rows:
        what = documented[path].replace("|", "\\|").replace("<", "&lt;")
        table.append(f"| `{path}` | `{json.dumps(value)}` | {what} |")
    readme = README.read_text()
    head, rest = readme.split(BEGIN)
    wanted = head + BEGIN + "\n".join(table) + "\n" + END + rest.split(END)[1]
    if "--check" in sys.argv:
        if wanted != readme:
            raise SystemExit("FAIL chart/README.md does not match chart/values.yaml; run .ci/chart-readme.py")
        print(f"ok   documented: {len(rows)} values")
    else:
        README.write_text(wanted)


main()
