#!/usr/bin/python3
"""check_names - rejects coined names that have an established term.

usage: check_names.py [repository]      first checks that planted names are found

Looks at identifiers in C and Python, and at the names in openapi.yaml. Each row gives the term to use instead.
"""

import re
import sys
from pathlib import Path

import lint

# {a word of an identifier, between underscores: the established term}
WORDS = {
    "patience": "timeout", "jail": "file_root", "crew": "thread_pool",
    "parcel": "request_buffer", "canned": "raw_response",
    "homeless": "disabled_executor", "deed": "action", "lane": "strand", "draft": "temp_file", "drafts": "temp_files",
    "ticket": "task_identity", "hungry": "reader_waiting", "torn": "orphaned", "blame": "describe_failure",
    "dismiss": "terminate", "dismissed": "terminated", "spoiled": "mutated", "hasty": "short_timeouts",
    "hurried": "has_deadline", "divisible": "parallelizable", "divided": "parallel", "unnameable": "skipped_non_utf8",
    "babble": "unsolicited_output", "judge": "check",
    "misfit": "type_error", "confine": "sandbox_self", "most": "max", "fewest": "min",
    "holders": "refcount", "unlist": "remove", "unfit": "failed",
    "manner": "commit_options", "slashed": "trailing_slash",
    "calm": "quiet_until", "lowered": "reduced", "weightiest": "most_severe",
    "pump": "mhd_loop", "lingers": "lingering_set",
    "nonsense": "protocol_error", "house": "layout", "room": "capacity", "floors": "layers",
}
# {a whole identifier, error code, log event or JSON member: the established term}
NAMES = {
    "executor_off": "executor_disabled", "unknown_path": "not_found", "no_file": "file_not_found",
    "unknown_handle": "handle_not_found", "unknown_method": "file_method_not_found", "handle_lost": "stale_handle",
    "wrong_mode": "file_mode_mismatch", "unsuitable_file": "unsupported_file_type", "not_text": "invalid_utf8",
    "worker_died": "worker_crashed",
    "no_space": "insufficient_storage",
    "connections_refused": "connections_rejected", "request_refused": "request_rejected", "left_out": "suppressed",
    "limit_lowered": "limit_reduced", "accept_exhausted": "accept_failed", "task_done": "task_succeeded",
    "last_words": "stderr_tail", "task_running": "function", "not_spawned": "spawn_failed",
    "NotWhole": "MalformedUpload", "HandleGone": "Gone", "TooLong": "Timeout", "FileBroken": "FileIoError",
    "CodingRefused": "UnsupportedContentEncoding", "LimitPassed": "ExceededLimit",
    "end_refusing": "clear_overload", "ROOM_PART": "RECOVERY_FRACTION", "take_length": "parse_content_length",
    "take_coding": "parse_transfer_encoding", "take_line": "add_field_line", "EXCHANGE_GOES_ON": "EXCHANGE_CONTINUE",
    "EXCHANGE_ANSWERS": "EXCHANGE_RESPOND", "EXCHANGE_WAITS": "EXCHANGE_SUSPEND", "EXCHANGE_BREAKS": "EXCHANGE_ABORT",
    "name_request": "assign_request_id", "become_ready": "complete",
    "run_on": "drain_or_wait", "body_into": "decode_body_into",
    "query_into": "decode_query_into", "accept_task": "make_task", "EACH_BYTE": "SWAR_ONES", "text_of": "str_from",
    "text_is": "str_eq", "ring_init": "list_init", "has_family": "has_children", "task_go_on": "task_continue",
    "step_go_on": "file_work_continue", "task_look": "task_get_info",
    "force_look": "pool_stats", "quick_deaths": "crash_streak",
    "raise_peak": "update_peak_rss", "split_range": "range_partition", "let_go": "unref", "take_back": "rollback_write",
    "read_inside": "read_range", "run_spend_read": "quota_reserve", "run_settle_read": "quota_release",
    "say_lost": "set_error", "LOOK_EVERY": "CANCEL_CHECK_INTERVAL", "PRE": "CHECK",
    "out_of_patience": "timed_out", "assertion_failed": "check_failed",
}
SUFFIXES = (".c", ".h", ".py", ".yaml")
FOLDERS = ("runtime", "handlers", "service", "tests")
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PROSE = {  # what is no name: comments and literals, by kind of file
    ".c": lint.any_of(lint.C_COMMENT, lint.STRING, lint.QUOTED),
    ".py": lint.any_of(lint.PY_COMMENT, lint.PY_DOCSTRING, lint.STRING, lint.QUOTED),
}
QUOTED = re.compile(r'["\'`]([a-z_]+)["\'`]')  # a string of one word may be an error code, a log event or a JSON member


def names_in(text, suffix):
    """Yields (line, name) for each name in the text."""
    if suffix == ".yaml":
        for match in re.finditer(r'^ *(?:- )?([A-Za-z_]\w*):|/([A-Z]\w+)\'?"?$', text, re.MULTILINE):
            yield match.start(), match.group(1) or match.group(2)
        return
    for match in QUOTED.finditer(text):
        if match.group(1) in NAMES:
            yield match.start(), match.group(1)
    code = lint.blank(PROSE[".py" if suffix == ".py" else ".c"], text)
    for match in IDENTIFIER.finditer(code):
        yield match.start(), match.group()


def fault_of(name):
    """The term for a coined name; None for any other name."""
    if name in NAMES:
        return NAMES[name]
    words = name.lower().split("_")
    if "most" in words[:-1]:  # at_most_five, most_severe
        words.remove("most")
    return next((WORDS[word] for word in words if word in WORDS), None)


def check(root):
    files = [f for folder in FOLDERS for f in sorted((root / folder).rglob("*"))
             if f.suffix in SUFFIXES and f.name != Path(__file__).name]
    files += [f for f in (root / "openapi.yaml",) if f.is_file()]
    problems = []
    for path in files:
        where, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        for position, name in names_in(text, path.suffix):
            term = fault_of(name)
            if term:
                problems.append(f"{where}:{lint.line_at(text, position)}: {name}: use {term}")
    return files, sorted(set(problems))


GOOD = {"runtime/a.c": '/* jail, patience */\nint timeout_at; const char *s = "the most";\n',
        "tests/a.py": '"""patience"""\ntimeout = "a crew"\n'}
BAD = {
    "runtime/b.c": ("int conn_patience;\n", "conn_patience: use timeout"),
    "runtime/c.h": ("enum { PATH_MOST = 1 };\n", "PATH_MOST: use max"),
    "service/d.c": ('f("worker_died");\n', "worker_died: use worker_crashed"),
    "handlers/e.c": ("text_of(a);\n", "text_of: use str_from"),
    "tests/f.py": ("spoiled = 1\n", "spoiled: use mutated"),
    "openapi.yaml": ("  TooLong:\n", "TooLong: use Timeout"),
}


if __name__ == "__main__":
    sys.exit(lint.main(check, GOOD, BAD, f"without a coined name of {len(WORDS) + len(NAMES)}"))
