"""lint - shared by the checkers: finding comments and literals, and a main() that first tests the checker.

A checker has check(root), which returns the files that it has looked at and a line for each violation, and planted
files: GOOD, {name: text}, which it must accept, and BAD, {name: (text, message)}, in each of which it must find exactly
one violation, with this message.
"""

import re
import sys
import tempfile
from pathlib import Path

C_COMMENT = r'/\*.*?\*/|//[^\n]*'
PY_COMMENT = r'#[^\n]*'
PY_DOCSTRING = r'"""(?:\\.|[^\\])*?"""'
STRING = r'"(?:\\.|[^"\\\n])*"'
QUOTED = r"'(?:\\.|[^'\\\n])*'"


def any_of(*patterns):
    return re.compile("|".join(patterns), re.DOTALL)


def blank(pattern, text):
    """Replaces the matches by blanks, and keeps line breaks."""
    return pattern.sub(lambda match: re.sub(r'[^\n]', ' ', match.group()), text)


def line_at(text, position):
    return text.count("\n", 0, position) + 1


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def self_test(check, good, bad):
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        plant(root, good)
        _, problems = check(root)
        assert not problems, f"self-test: files without a violation are rejected: {problems}"
        for name, (text, message) in bad.items():
            plant(root, {name: text})
            _, problems = check(root)
            assert len(problems) == 1 and message in problems[0], f"self-test: {name} ({text!r}) gave {problems}"
            (root / name).unlink()
            plant(root, {name: good[name]} if name in good else {})


def report(problems, clean):
    """Prints the problems, or without any `clean`; the exit status."""
    print("\n".join(problems) if problems else clean)
    return 1 if problems else 0


def main(check, good, bad, clean):
    """Checks the repository that the first argument names; `clean` describes files without a violation."""
    self_test(check, good, bad)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files, problems = check(root)
    if not files:
        problems = [f"{root}: no files found"]
    return report(problems, f"{len(files)} files {clean}; {len(bad)} planted violations were found")
