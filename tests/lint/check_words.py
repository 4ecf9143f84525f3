#!/usr/bin/python3
"""check_words - rejects phrases that read as translated in comments, messages and documentation, and long lines.

usage: check_words.py [repository]      first checks that planted phrases are found

Looks at comments and string literals of C, at comments and docstrings of Python and shell, and at Markdown.
"""

import re
import sys
import tempfile
from pathlib import Path

COLUMNS = 120

# (a phrase, what to write instead)
PHRASES = [
    (r"\bthere (?:is|are|was|were) (?:no|none|nobody|nothing)\b", "say what lacks it, with a verb"),
    (r"\b(?:whoever|nobody|somebody|no one|someone who)\b", "name the subject"),
    (r"(?:^|[.;:] |[(\"]|\band )who (?:\w+s|is|has|was)\b", "name the subject"),
    (r"\bno memory\b", "out of memory"),
    (r"\banew\b", "again"),
    (r"\bgo(?:es)? on\b", "continue"),
    (r"\bby itself\b", "drop it, or say on its own"),
    (r"\bfor want of\b", "for lack of; or a verb"),
    (r"\ball the same\b", "anyway; or drop it"),
    (r"(?:^|[.;:] )What (?:is|are|has|have|comes|was|were|had|it|they)\b(?![^.]*\?)", "name the noun"),
    (r"\b(?:of|to|by|with|than|for|from) what (?:is|are|has|have|comes|was|were|had)\b", "name the noun"),
    (r"\b(?:from|of|to) whom\b", "name the subject"),
    (r"\bbe told\b", "is notified; or name the verb"),
    (r"\bin (?:one|its own) piece\b", "contiguous, whole"),
    (r"\bas good as\b", "effectively"),
    (r"\blikewise\b", "repeat the word, or as above"),
    (r"\bwhere nothing else\b|\bsays nothing of\b", "say it directly"),
    (r"\bcolour|\bbehaviour|\bcancelled|\bcancelling\b|\binitialis|\boptimis|\brecognis|\bserialis", "American spelling"),
]
COMPILED = [(re.compile(phrase, re.IGNORECASE), instead) for phrase, instead in PHRASES]

C_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.DOTALL)
PY_TEXT = re.compile(r'#[^\n]*|"""(?:\\.|[^\\])*?"""', re.DOTALL)
FOLDERS = ("runtime", "handlers", "service", "tests")
ALONE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "dev", ".ci/run", "CMakeLists.txt", "runtime/README.md")


def texts(path):
    """Yields (line, text) for each comment, string or paragraph of a file, with line breaks removed."""
    text = path.read_text(encoding="utf-8")
    if path.suffix in {".c", ".h"}:
        pieces = C_TEXT.finditer(text)
    elif path.suffix == ".py" or path.suffix == "":
        pieces = PY_TEXT.finditer(text)
    else:
        pieces = re.finditer(r'[^\n]+(?:\n[^\n]+)*', text)
    for piece in pieces:
        yield text.count("\n", 0, piece.start()) + 1, re.sub(r'\s*\n[\s*#]*', " ", piece.group())


def check(root):
    files = [f for folder in FOLDERS for f in sorted((root / folder).rglob("*"))
             if f.suffix in {".c", ".h", ".py", ".md"} and f.name != Path(__file__).name and "__pycache__" not in f.parts]
    files += [root / name for name in ALONE if (root / name).is_file() and root / name not in files]
    problems = []
    for path in files:
        name = path.relative_to(root).as_posix()
        for line, text in texts(path):
            for pattern, instead in COMPILED:
                problems += [f'{name}:{line}: "{match.group().strip()}": {instead}'
                             for match in pattern.finditer(text)]
        if path.suffix != ".md":
            problems += [f"{name}:{number}: {len(line)} columns, at most {COLUMNS}"
                         for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1)
                         if len(line) > COLUMNS]
    return files, problems


GOOD = {"runtime/a.c": '/* Frees the buffer. */\nint no_memory; f("out of memory");\n', "tests/a.py": '"""Waits."""\n'}
BAD = {
    "runtime/b.c": "/* There\n * is no memory. */\n", "runtime/c.h": 'f("who waits is told");\n/* (who asks is served) */\n',
    "tests/d.py": '"""Starts anew."""\n', "README.md": "What is not read goes on.\n", "service/e.c": "x" * (COLUMNS + 1) + "\n",
}


def self_test():
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, text in {**GOOD, **BAD}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        _, problems = check(root)
        found = {problem.split(":")[0] for problem in problems}
        assert found == set(BAD), f"self-test: {problems}"


def main():
    self_test()
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    files, problems = check(root)
    if not files:
        problems.append(f"{root}: no files found")
    print("\n".join(problems) if problems else
          f"{len(files)} files contain none of {len(PHRASES)} rejected phrases")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
