#!/usr/bin/python3
"""check_layers - checks that includes go one way through the ordered modules, without cycles between files.

usage: check_layers.py [repository]     first checks that a planted violation of each rule is found
"""

import re
import sys

import lint

# The modules, lowest first. A file may include its own module and those before it.
MODULES = (
    "runtime/lib", "runtime/types", "runtime/task", "runtime/executors", "runtime/files", "runtime/functions",
    "runtime/store", "runtime",
    "handlers/json", "handlers/http", "handlers/responders", "handlers/resources", "handlers/openapi", "handlers",
    "service/log", "service/config", "service/net", "service/http", "service",
)
LAYERS = ("runtime", "handlers", "service")

# The headers of ISO C, POSIX and glibc, without ".h".
LIBC = set("""
    assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
    aio cpio dirent dlfcn endian fcntl fnmatch ftw getopt glob grp iconv langinfo libgen mqueue netdb nl_types
    poll pthread pwd regex sched search semaphore spawn strings syslog termios ulimit unistd utime utmpx
    wordexp byteswap err error execinfo fts ifaddrs malloc mntent paths features alloca stdio_ext
""".split())
LIBC_FOLDERS = {"sys", "linux", "net", "netinet", "arpa", "asm"}

# The library headers that a layer, a module or a file may include.
LIBRARIES = {
    "runtime": {"uv.h"},
    "runtime/lib/base64.c": {"nettle/base64.h"},
    "handlers/json": {"jansson.h"},
    "handlers/openapi/openapi_routes.c": {"nettle/sha2.h"},
    "service": {"uv.h"},
    "service/http/http_server_internal.h": {"microhttpd.h"},
}
# A file in runtime/functions/ may use one library of its own, except these.
NOT_FOR_FUNCTIONS = {"jansson.h", "microhttpd.h"}
GENERATED = {"gatherd_version.h", "function_list.h"}

COMMENT = lint.any_of(lint.C_COMMENT)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\b[ \t]*(.*)$', re.MULTILINE)
SPELLING = re.compile(r'<([^>]+)>|"([^"]+)"')


def module_of(name):
    return name.rpartition("/")[0]


def is_libc(header):
    folder, slash, _ = header.partition("/")
    return folder in LIBC_FOLDERS if slash else header.removesuffix(".h") in LIBC


def is_allowed_library(name, header):
    """Whether the row of the file, its module or its layer lists <header>."""
    return any(header in LIBRARIES.get(place, ()) for place in (name, module_of(name), name.split("/")[0]))


def includes(path):
    """Yields (line, system header or None, our header or None, text) for each #include."""
    text = lint.blank(COMMENT, path.read_text(encoding="utf-8"))
    for match in INCLUDE.finditer(text):
        spelling = SPELLING.match(match.group(1))
        system, ours = spelling.groups() if spelling else (None, None)
        yield lint.line_at(text, match.start()), system, ours, match.group(1).strip()


def check_ours(root, name, ours):
    """The rule that the file `name` violates by including our header `ours`, or None."""
    if ours in GENERATED:
        return None
    if ours.split("/")[0] not in LAYERS or ".." in ours.split("/"):
        return f'"{ours}" does not start at the repository root (like "runtime/task/task.h")'
    if not (root / ours).is_file():
        return f'"{ours}" does not exist'
    module, other = module_of(name), module_of(ours)
    if other not in MODULES:
        return f'"{ours}" is in {other}/, which is not in the list of modules'
    if MODULES.index(other) > MODULES.index(module):
        return f'{module}/ includes "{ours}", a module above it'
    if ours.endswith("_internal.h") and ours.split("/")[0] != name.split("/")[0]:
        return f'"{ours}" is for {ours.split("/")[0]}/ only'
    return None


def check_file(root, path):
    """The violations in a file, as text."""
    name = path.relative_to(root).as_posix()
    if module_of(name) not in MODULES:
        return [f"{name}: {module_of(name)}/ is not in the list of modules"]
    own_library = set()
    problems = []
    for line, system, ours, spelled in includes(path):
        fault = None
        if not system and not ours:
            fault = f"#include {spelled}: write the header's name"
        elif ours:
            fault = check_ours(root, name, ours)
        elif is_libc(system) or is_allowed_library(name, system):
            continue
        elif name.startswith("runtime/functions/") and name.endswith(".c") and system not in NOT_FOR_FUNCTIONS:
            own_library.add(system.split("/")[0])
            if len(own_library) > 1:
                fault = f"<{system}> is this function's second library ({', '.join(sorted(own_library))})"
        else:
            fault = f"{module_of(name)}/ may not include <{system}>"
        if fault:
            problems.append(f"{name}:{line}: {fault}")
    return problems


def unit_of(name):
    """x.c, x.h and x_internal.h are one unit."""
    return re.sub(r"(_internal)?\.[ch]$", "", name)


def find_circles(root, files):
    """The sets of units that reach each other through includes (Tarjan's strongly connected components)."""
    graph = {}
    for path in files:
        name = path.relative_to(root).as_posix()
        targets = graph.setdefault(unit_of(name), set())
        targets |= {unit_of(ours) for _, _, ours, _ in includes(path)
                    if ours and (root / ours).is_file()}
        targets.discard(unit_of(name))
    number, lowest, stack, circles = {}, {}, [], []

    def visit(unit):
        number[unit] = lowest[unit] = len(number)
        stack.append(unit)
        for target in graph.get(unit, ()):
            if target not in number:
                visit(target)
                lowest[unit] = min(lowest[unit], lowest[target])
            elif target in stack:
                lowest[unit] = min(lowest[unit], number[target])
        if lowest[unit] == number[unit]:
            at = stack.index(unit)
            if len(stack) - at > 1:
                circles.append(frozenset(stack[at:]))
            del stack[at:]

    for unit in sorted(graph):
        if unit not in number:
            visit(unit)
    return circles


def check(root):
    files = sorted(f for layer in LAYERS for f in (root / layer).rglob("*.[ch]"))
    problems = [problem for f in files for problem in check_file(root, f)]
    problems += [f"circle of includes: {', '.join(sorted(circle))}" for circle in find_circles(root, files)]
    return files, problems


GOOD = {
    "runtime/lib/list.h": "#include <stdint.h>\n",
    "runtime/task/task.h": '#include "runtime/lib/list.h"\n',
    "runtime/task/task.c": '#include <sys/wait.h>\n#include <uv.h>\n#include "runtime/task/task_internal.h"\n',
    "runtime/task/task_internal.h": '#include "runtime/task/task.h"\n',
    "runtime/functions/hash.c": '#include "runtime/task/task.h"\n#include <nettle/sha2.h>\n#include <nettle/hmac.h>\n',
    "runtime/runtime.h": '#include "runtime/task/task.h"\n',
    "handlers/json/tasks.h": '/* #include <uv.h> */\n#include <jansson.h>\n#include "runtime/runtime.h"\n',
    "service/http/http_server_internal.h": '#include <microhttpd.h>\n',
    "service/http/http_server.c": '#include "service/http/http_server_internal.h"\n#include <uv.h>\n'
                                  '#include "handlers/json/tasks.h"\n#include "gatherd_version.h"\n',
    "runtime/types/x.h": "int x;\n",
    "runtime/types/y.h": "int y;\n",
    "runtime/types/y.c": '#include "runtime/types/x.h"\n',
}
# {name of the planted file: (its text, part of the expected message)}
BAD = {
    "runtime/lib/a.c": ('#include "handlers/json/tasks.h"\n', "a module above"),
    "runtime/lib/b.h": ('#include "service/http/http_server.c"\n', "a module above"),
    "runtime/lib/c.c": ('#include "runtime/task/task.h"\n', "a module above"),
    "runtime/task/a.c": ('#include "runtime/runtime.h"\n', "a module above"),
    "handlers/http/a.h": ('#include "service/http/http_server.c"\n', "a module above"),
    "runtime/lib/d.c": ("#include <jansson.h>\n", "may not include"),
    "runtime/lib/e.c": ("#  include <microhttpd.h>\n", "may not include"),
    "runtime/files/a.c": ("#include <nettle/sha2.h>\n", "may not include"),
    "runtime/functions/b.c": ("#include <jansson.h>\n", "may not include"),
    "runtime/functions/c.h": ("#include <zlib.h>\n", "may not include"),
    "handlers/json/a.c": ("#include <uv.h>\n", "may not include"),
    "handlers/resources/b.c": ("#include <jansson.h>\n", "may not include"),
    "handlers/json/b.c": ("#include <microhttpd.h>\n", "may not include"),
    "service/log/a.c": ("#include <microhttpd.h>\n", "may not include"),
    "service/http/b.h": ("#include <microhttpd.h>\n", "may not include"),
    "service/log/c.c": ("#include <jansson.h>\n", "may not include"),
    "runtime/lib/f.c": ('#include "../handlers/tasks.h"\n', "repository root"),
    "runtime/lib/g.c": ('#include "list.h"\n', "repository root"),
    "runtime/lib/h.c": ("#define H <jansson.h>\n#include H\n", "write the header's name"),
    "runtime/lib/i.c": ('#include "runtime/lib/nowhere.h"\n', "does not exist"),
    "runtime/functions/a.c": ("#include <nettle/sha2.h>\n#include <zlib.h>\n", "second library"),
    "handlers/json/d.c": ('#include "runtime/task/task_internal.h"\n', "for runtime/ only"),
    "runtime/spare/a.c": ("#include <stdint.h>\n", "not in the list of modules"),
    "runtime/types/x.h": ('#include "runtime/types/y.h"\n', "circle of includes: runtime/types/x, runtime/types/y"),
}


if __name__ == "__main__":
    sys.exit(lint.main(check, GOOD, BAD, "that include no module above their own, and no circle"))
