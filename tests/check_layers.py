#!/usr/bin/python3
"""check_layers - the includes run one way only: service -> handlers -> runtime.

usage: check_layers.py [repository]     first proves on planted violations that it can fail
"""

import re
import sys
import tempfile
from pathlib import Path

# The headers of ISO C and POSIX; with these folders (and linux/) they are what "libc" means here.
LIBC = set("""
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    aio cpio dirent dlfcn endian fcntl fnmatch ftw getopt glob grp iconv langinfo libgen mqueue netdb nl_types
    poll pthread pwd regex sched search semaphore spawn strings syslog termios ulimit unistd utime utmpx
    wordexp byteswap err error execinfo fts ifaddrs malloc mntent paths features alloca stdio_ext
""".split())
LIBC_FOLDERS = {"sys", "linux", "net", "netinet", "arpa", "asm"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\b[ \t]*(.*)$', re.MULTILINE)
SPELLING = re.compile(r'<([^>]+)>|"([^"]+)"')
FLOORS = ("runtime", "handlers", "service")  # each may include itself and those before it
GENERATED = {"gatherd_version.h"}
# What each floor may include beside libc and our own headers.
LIBRARIES = {"runtime": {"uv.h"}, "handlers": {"jansson.h"}, "service": {"uv.h"}}
HTTP_ONLY = {"microhttpd.h": "service/http_inner.h"}
INNER = re.compile(r"_inner\.h$")  # x_inner.h is for x.c and x_*.c alone


def is_libc(header):
    folder, slash, _ = header.partition("/")
    return folder in LIBC_FOLDERS if slash else header.removesuffix(".h") in LIBC


def blank_comments(text):
    """Comments become blanks; line numbers stay."""
    return re.sub(r'/\*.*?\*/|//[^\n]*', lambda m: re.sub(r'[^\n]', ' ', m.group()), text, flags=re.DOTALL)


def check_file(root, path):
    """The violations of one file, each a line of text."""
    name = path.relative_to(root).as_posix()
    floor = name.split("/")[0]
    below = FLOORS[: FLOORS.index(floor) + 1]
    extra = set()  # libraries a function file brings along: one at most
    problems = []
    text = blank_comments(path.read_text(encoding="utf-8"))
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1

        def problem(what, line=line):
            problems.append(f"{name}:{line}: {what}")

        spelling = SPELLING.match(match.group(1))
        if not spelling:
            problem(f"#include {match.group(1).strip()}: spell the header out")
            continue
        system, ours = spelling.groups()
        if ours:
            folder = ours.split("/")[0]
            if ours in GENERATED:
                continue
            if folder not in FLOORS or ".." in ours.split("/"):
                problem(f'"{ours}" does not start at the repository root (like "runtime/task.h")')
            elif folder not in below:
                problem(f'{floor}/ includes "{ours}": the stairs go service -> handlers -> runtime')
            elif INNER.search(ours) and not re.fullmatch(re.escape(INNER.sub("", ours)) + r"(_\w+)?\.[ch]", name):
                problem(f'"{ours}" is what the files {INNER.sub("", ours)}*.c share, and nobody else\'s')
            elif ours != "handlers/openapi_embed.h" and not (root / ours).is_file():
                problem(f'"{ours}" does not exist')
        elif is_libc(system) or system in LIBRARIES[floor] or HTTP_ONLY.get(system) == name:
            continue
        elif name.startswith("runtime/functions/") and name.endswith(".c") and \
                system not in {"jansson.h", *HTTP_ONLY}:
            extra.add(system.split("/")[0])
            if len(extra) > 1:
                problem(f"<{system}> is this function file's second library ({', '.join(sorted(extra))})")
        else:
            problem(f"{floor}/ may not include <{system}>")
    return problems


def check(root):
    files = sorted(f for floor in FLOORS for f in (root / floor).rglob("*.[ch]"))
    return files, [problem for f in files for problem in check_file(root, f)]


GOOD = {
    "runtime/task.h": "#include <stdint.h>\n",
    "runtime/loop.c": '#include <sys/wait.h>\n#include <uv.h>\n#include "runtime/task.h"\n',
    "runtime/functions/hash.c": '#include "runtime/task.h"\n#include <nettle/sha2.h>\n#include <nettle/hmac.h>\n',
    "handlers/tasks.h": '/* #include <uv.h> */\n#include <jansson.h>\n#include "runtime/task.h"\n',
    "handlers/contract.c": '#include "handlers/openapi_embed.h"\n',
    "service/http_inner.h": '#include <microhttpd.h>\n',
    "service/http.c": '#include "service/http_inner.h"\n#include <uv.h>\n#include "handlers/tasks.h"\n#include "gatherd_version.h"\n',
}
BAD = {
    "runtime/a.c": '#include "handlers/tasks.h"\n',
    "runtime/b.h": '#include "service/http.c"\n',
    "runtime/c.c": "#include <jansson.h>\n",
    "runtime/d.c": "#  include <microhttpd.h>\n",
    "runtime/e.c": "#include <nettle/sha2.h>\n",
    "runtime/f.c": '#include "../handlers/tasks.h"\n',
    "runtime/g.c": '#include "task.h"\n',
    "runtime/h.c": "#define H <jansson.h>\n#include H\n",
    "runtime/i.c": '#include "runtime/nowhere.h"\n',
    "runtime/functions/a.c": "#include <nettle/sha2.h>\n#include <zlib.h>\n",
    "runtime/functions/b.c": "#include <jansson.h>\n",
    "runtime/functions/c.h": "#include <zlib.h>\n",
    "handlers/a.c": "#include <uv.h>\n",
    "handlers/b.c": "#include <microhttpd.h>\n",
    "handlers/c.h": '#include "service/http.c"\n',
    "service/a.c": "#include <microhttpd.h>\n",
    "service/b.h": "#include <microhttpd.h>\n",
    "service/c.c": "#include <jansson.h>\n",
    "service/http_request.c": "#include <microhttpd.h>\n",
    "service/d.c": '#include "service/http_inner.h"\n',
}


def plant(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def self_test():
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        plant(root, GOOD)
        _, problems = check(root)
        assert not problems, f"self-test: a clean tree is refused: {problems}"
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
        problems.append(f"{root}: no source files found")
    print("\n".join(problems) if problems else
          f"{len(files)} files, no include up the stairs; {len(BAD)} planted ones were found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
