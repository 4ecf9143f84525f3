#!/usr/bin/python3
"""check_globals - rejects mutable globals in our objects, except those in ALLOWED.

usage: check_globals.py --cc CC --nm NM file.a|file.o ...   first checks that planted globals are found

An entry of ALLOWED that no longer exists is an error. Constant tables with pointers are allowed: they are in
.data.rel.ro, which is read-only after relocation.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import lint

WRITABLE = re.compile(r'^(\.data|\.bss|\.tdata|\.tbss|\.sdata|\.sbss)(\.|$)|^\*COM\*$|^COMMON$')

# {(object, symbol, section): why it cannot be a member of a struct}
ALLOWED = {
    ("json_parse.c.o", "parser", ".tbss"):
        "jansson's allocator hooks have no context argument; thread-local, so that several loops can decode at once",
}


def mutable_symbols(nm, files):
    """(object, symbol, section) of each writable symbol that the files define."""
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
    """A line for each symbol that is not allowed, and for each stale entry of `allowed`."""
    lines = [f"{where}: {symbol} in {section}: mutable global"
             for where, symbol, section in found if (where, symbol, section) not in allowed]
    return lines + [f"{where}: {symbol} in {section} is allowed, but does not exist exactly once"
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

        assert symbols(GOOD) == [], f"self-test: constants are rejected: {symbols(GOOD)}"
        for name, text in BAD.items():
            found = [re.sub(r'\.\d+$|^use\.', "", symbol) for _, symbol, _ in symbols(text)]
            assert found == [name], f"self-test: {text!r} gave {found}"

        # An entry allows one symbol of one object in one section, once.
        mine = symbols(BAD["mine"])
        assert faults(mine, mine) == [], f"self-test: {mine} is allowed, but rejected"
        (where, symbol, section), = mine
        for other in [("other.o", symbol, section), (where, "other", section), (where, symbol, ".bss")]:
            assert len(faults(mine, [other])) == 2, f"self-test: {other} allows {mine}"
        assert len(faults([], mine)) == 1, "self-test: a stale entry passes"
        assert len(faults(mine * 2, mine)) == 1, "self-test: an entry allows two symbols"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--nm", required=True)
    parser.add_argument("files", nargs="+")
    options = parser.parse_args()
    self_test(options.cc, options.nm)
    return lint.report(faults(mutable_symbols(options.nm, options.files), ALLOWED),
                       f"{len(options.files)} files, no mutable globals except {len(ALLOWED)} allowed; "
                       f"{len(BAD)} planted ones were found")


if __name__ == "__main__":
    sys.exit(main())
