#!/usr/bin/python3
"""check_style - rejects banned functions, markers of unfinished work, and files that are too long.

usage: check_style.py [repository]      first checks that planted violations are found
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

LONGEST = 450  # lines of a .c or .h file outside tests/
BANNED = ("sprintf", "strcpy", "strcat", "strtok", "atoi", "gets", "alloca", "system")
BANNED_CALL = re.compile(r'\b(' + "|".join(BANNED) + r')\s*\(')
OPEN_WORDS = ("TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK")  # split, so that this file does not contain them
OPEN_WORD = re.compile(r'\b(' + "|".join(OPEN_WORDS) + r')\b')
NOT_OURS = {".git", "build", ".cache", "__pycache__", ".hypothesis", ".pytest_cache"}
LITERALS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


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


def blank_literals(text):
    """Replaces comments and literals by blanks, and keeps line breaks."""
    return LITERALS.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), text)


def check_file(root, path):
    """The violations in a file, as text."""
    name = path.relative_to(root).as_posix()
    data = path.read_bytes()
    if b"\0" in data:
        return []
    text = data.decode("utf-8", errors="replace")

    def at(match):
        return f"{name}:{text.count(chr(10), 0, match.start()) + 1}"

    problems = [f"{at(m)}: {m.group()}" for m in OPEN_WORD.finditer(text)]
    if path.suffix in {".c", ".h"}:
        problems += [f"{at(m)}: {m.group(1)}() is banned" for m in BANNED_CALL.finditer(blank_literals(text))]
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
BAD = {f"runtime/{f}.c": f"int x = 1; /* fine */\nint y = {f} (1);\n" for f in BANNED}
BAD.update({f"{w.lower()}.md": f"a line\n{w}: later\n" for w in OPEN_WORDS})
BAD["runtime/long.h"] = "\n" * (LONGEST + 1)


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def self_test():
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        plant(root, GOOD)
        _, problems = check(root)
        assert not problems, f"self-test: a clean tree is rejected: {problems}"
        for name, text in BAD.items():
            plant(root, {name: text})
            _, problems = check(root)
            assert len(problems) == 1 and problems[0].startswith(name + ":"), \
                f"self-test: {name} ({text!r}) gave {problems}"
            (root / name).unlink()


def main():
    self_test()
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files, problems = check(root)
    if not files:
        problems.append(f"{root}: no files found")
    print("\n".join(problems) if problems else
          f"{len(files)} files without violations; {len(BAD)} planted ones were found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
