#!/usr/bin/python3
"""check_style - rejects banned functions, markers of unfinished work, and files that are too long.

usage: check_style.py [repository]      first checks that planted violations are found
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import lint

LONGEST = 450  # lines of a .c or .h file outside tests/
BANNED = ("sprintf", "strcpy", "strcat", "strtok", "atoi", "gets", "alloca", "system")
BANNED_CALL = re.compile(r'\b(' + "|".join(BANNED) + r')\s*\(')
OPEN_WORDS = ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")  # split, so that this file does not contain them
OPEN_WORD = re.compile(r'\b(' + "|".join(OPEN_WORDS) + r')\b')
NOT_OURS = {".git", "build", ".cache", "__pycache__", ".hypothesis", ".pytest_cache"}
LITERALS = lint.any_of(lint.C_COMMENT, lint.STRING, lint.QUOTED)


def list_files(root):
    """The files that git tracks or would track; without git, all files outside of NOT_OURS."""
    if (root / ".git").exists():
        try:
            listing = subprocess.run(
                ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
            return sorted(f for f in (root / name for name in set(listing.split("\0")) if name) if f.is_file())
        except (OSError, subprocess.CalledProcessError):
            pass
    files = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in NOT_OURS and not f.startswith("build-")]
        files += [Path(folder, name) for name in names]
    return sorted(f for f in files if f.is_file())


def check_file(root, path):
    """The violations in a file, as text."""
    name = path.relative_to(root).as_posix()
    data = path.read_bytes()
    if b"\0" in data:
        return []
    text = data.decode("utf-8", errors="replace")

    def at(match):
        return f"{name}:{lint.line_at(text, match.start())}"

    problems = [f"{at(m)}: {m.group()}" for m in OPEN_WORD.finditer(text)]
    if path.suffix in {".c", ".h"}:
        problems += [f"{at(m)}: {m.group(1)}() is banned" for m in BANNED_CALL.finditer(lint.blank(LITERALS, text))]
        lines = text.count("\n")
        if lines > LONGEST and not name.startswith("tests/"):
            problems.append(f"{name}: {lines} lines, the limit is {LONGEST}")
    return problems


def check(root):
    files = list_files(root)
    return files, [problem for f in files for problem in check_file(root, f)]


GOOD = {
    "runtime/a.c": '/* gets (no), system (no) */\nint f(void)\n{\n    return g("atoi(1)", \'"\', strtok_r(a));\n}\n',
    "runtime/b.c": "int my_system(int x);\n" * LONGEST,
    "tests/unit/test_a.c": "\n" * (LONGEST + 1),
    "notes.md": "todo, hack, " + OPEN_WORDS[2] * 2 + "\n",
    "picture.png": "\0" + OPEN_WORDS[0],
    "build/other.c": OPEN_WORDS[0] + " gets(a);\n",
}
BAD = {f"runtime/{f}.c": (f"int x = 1; /* fine */\nint y = {f} (1);\n", f"runtime/{f}.c:2: {f}() is") for f in BANNED}
BAD.update({f"{w.lower()}.md": (f"a line\n{w}: later\n", f"{w.lower()}.md:2: {w}") for w in OPEN_WORDS})
BAD["runtime/long.h"] = ("\n" * (LONGEST + 1), "runtime/long.h: ")


if __name__ == "__main__":
    sys.exit(lint.main(check, GOOD, BAD, "in good style"))
