#!/usr/bin/python3
"""check_words - rejects phrases that read as translated in comments, messages and documentation, and long lines.

usage: check_words.py [repository]      first checks that planted phrases are found

Looks at comments and string literals of C, at comments and docstrings of Python and shell, and at Markdown.
"""

import re
import sys
from pathlib import Path

import lint

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

C_TEXT = lint.any_of(lint.C_COMMENT, lint.STRING)
PY_TEXT = lint.any_of(lint.PY_COMMENT, lint.PY_DOCSTRING)
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
        yield lint.line_at(text, piece.start()), re.sub(r'\s*\n[\s*#]*', " ", piece.group())


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
    "runtime/b.c": ("/* There\n * is no limit. */\n", "runtime/b.c:1: "),
    "runtime/c.h": ('f("who waits is notified");\n', "name the subject"),
    "runtime/d.h": ("/* (who asks is served) */\n", "name the subject"),
    "tests/e.py": ('"""Starts anew."""\n', "again"),
    "README.md": ("The reader goes on.\n", "continue"),
    "CONTRIBUTING.md": ("What is not read is discarded.\n", "name the noun"),
    "service/f.c": ("x" * (COLUMNS + 1) + "\n", "service/f.c:1: 121 columns"),
}


if __name__ == "__main__":
    sys.exit(lint.main(check, GOOD, BAD, f"without {len(PHRASES)} phrases that read as translated"))
