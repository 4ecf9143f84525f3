#!/usr/bin/python3
"""check_globals - no object of ours holds data that can change: everything hangs off a struct.

usage: check_globals.py --cc CC --nm NM file.a|file.o ...   first proves on planted globals that it can fail
Tables of constants with pointers in them lie in .data.rel.ro: read-only once the program is linked, so they are fine.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WRITABLE = re.compile(r'^(\.data|\.bss|\.tdata|\.tbss|\.sdata|\.sbss)(\.|$)|^\*COM\*$|^COMMON$')


def mutable_symbols(nm, files):
    """(object, symbol, section) of everything writable that the files define."""
    text = subprocess.run([nm, "--format=sysv", "--defined-only", *files],
                          stdout=subprocess.PIPE, check=True, text=True).stdout
    found, current = [], "?"
    for line in text.splitlines():
        title = re.match(r'(?:Undefined symbols|Symbols) from (.*):$', line)
        if title:
            current = re.sub(r'^.*\[|\]$', "", title.group(1))
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 7 and WRITABLE.match(cells[6]) and not cells[6].startswith(".data.rel.ro"):
            found.append((current, cells[0], cells[6]))
    return found


GOOD = """
static const int numbers[] = {1, 2};
static const char *const names[] = {"a", "b"};
const struct { const char *name; int (*run)(void); } table[] = {{"f", 0}};
const int *use(int i);
const int *use(int i) { static const char inside[] = "x"; return names[i] && inside[i] ? numbers : 0; }
"""
BAD = {
    "counter": "int counter; int *use(void); int *use(void) { return &counter; }",
    "filled": "static int filled = 3; int *use(void); int *use(void) { return &filled; }",
    "zero": "static int zero; int *use(void); int *use(void) { return &zero; }",
    "inside": "int use(void); int use(void) { static int inside; return inside++; }",
    "pointers": 'const char *pointers[] = {"a"};',
    "mine": "_Thread_local int mine;",
    "shared": "int shared __attribute__((common));",
}


def self_test(cc, nm):
    with tempfile.TemporaryDirectory() as scratch:
        def symbols(text):
            source, made = Path(scratch, "planted.c"), Path(scratch, "planted.o")
            source.write_text(text, encoding="utf-8")
            subprocess.run([cc, "-std=c17", "-O2", "-fPIE", "-c", str(source), "-o", str(made)], check=True)
            return [symbol for _, symbol, _ in mutable_symbols(nm, [str(made)])]

        assert symbols(GOOD) == [], f"self-test: constants are refused: {symbols(GOOD)}"
        for name, text in BAD.items():
            found = [re.sub(r'\.\d+$|^use\.', "", symbol) for symbol in symbols(text)]
            assert found == [name], f"self-test: {text!r} gave {found}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--nm", required=True)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    self_test(options.cc, options.nm)
    found = mutable_symbols(options.nm, options.files)
    for where, symbol, section in found:
        print(f"{where}: {symbol} lies in {section}: a mutable global")
    if not found:
        print(f"no mutable globals in {len(options.files)} files; {len(BAD)} planted ones were found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
