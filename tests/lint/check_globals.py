#!/usr/bin/python3
"""check_globals - no object of ours holds data that can change: everything hangs off a struct. What is in ALLOWED may.

usage: check_globals.py --cc CC --nm NM file.a|file.o ...   first proves on planted globals that it can fail
What is allowed has to be there, too: a permission that nobody needs any more is a fault.
Tables of constants with pointers in them lie in .data.rel.ro: read-only once the program is linked, so they are fine.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

WRITABLE = re.compile(r'^(\.data|\.bss|\.tdata|\.tbss|\.sdata|\.sbss)(\.|$)|^\*COM\*$|^COMMON$')

# (object, symbol, section): why it can't hang off a struct.
ALLOWED = {
    ("json_parse.c.o", "parser", ".tbss"):
        "jansson's hooks for memory are told nothing but a size; a variable per thread lets several loops decode at once",
}


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


def faults(found, allowed):
    """A line for each symbol that isn't allowed, and for each permission without its symbol."""
    lines = [f"{where}: {symbol} lies in {section}: a mutable global"
             for where, symbol, section in found if (where, symbol, section) not in allowed]
    return lines + [f"{where}: there is no {symbol} in {section}, though it is allowed"
                    for where, symbol, section in allowed if found.count((where, symbol, section)) != 1]


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
            return mutable_symbols(nm, [str(made)])

        assert symbols(GOOD) == [], f"self-test: constants are refused: {symbols(GOOD)}"
        for name, text in BAD.items():
            found = [re.sub(r'\.\d+$|^use\.', "", symbol) for _, symbol, _ in symbols(text)]
            assert found == [name], f"self-test: {text!r} gave {found}"

        # A permission is for one symbol of one object in one section, and no more than once.
        mine = symbols(BAD["mine"])
        assert faults(mine, mine) == [], f"self-test: {mine} is allowed, and is refused"
        (where, symbol, section), = mine
        for other in [("other.o", symbol, section), (where, "other", section), (where, symbol, ".bss")]:
            assert len(faults(mine, [other])) == 2, f"self-test: {other} allows {mine}"
        assert len(faults([], mine)) == 1, "self-test: a permission that nobody needs is no fault"
        assert len(faults(mine * 2, mine)) == 1, "self-test: a permission serves two symbols"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--nm", required=True)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    self_test(options.cc, options.nm)
    wrong = faults(mutable_symbols(options.nm, options.files), ALLOWED)
    for line in wrong:
        print(line)
    if not wrong:
        print(f"no mutable globals in {len(options.files)} files but the {len(ALLOWED)} allowed; "
              f"{len(BAD)} planted ones were found")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
