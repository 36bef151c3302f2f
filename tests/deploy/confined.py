"""Puts a process under a container's list of system calls, without a container.

    python -m tests.deploy.confined seccomp.json PROGRAM ARGUMENT...

The list is given to the kernel by libseccomp, as a container's runtime gives it; then the
program takes this one's place, and the filter stays with it.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import sys
from pathlib import Path
from typing import Any

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
COMPARISONS = {"SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}


class Comparison(ctypes.Structure):
    """struct scmp_arg_cmp of seccomp.h."""

    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    )


def library() -> ctypes.CDLL | None:
    """libseccomp, where the machine has it."""
    try:
        found = ctypes.CDLL(ctypes.util.find_library("seccomp") or "libseccomp.so.2")
    except OSError:
        return None
    found.seccomp_init.restype = ctypes.c_void_p
    return found


def confine(profile: dict[str, Any], lib: ctypes.CDLL) -> None:
    """Put this thread, and whatever it becomes, under a profile in the format of containers."""
    default = profile["defaultAction"], profile.get("defaultErrnoRet", 1)
    context = ctypes.c_void_p(lib.seccomp_init(action(*default)))
    for rule in profile["syscalls"]:
        wanted = action(rule["action"], rule.get("errnoRet", 1))
        compared = [
            Comparison(one["index"], COMPARISONS[one["op"]], one["value"], one.get("valueTwo", 0))
            for one in rule.get("args", ())
        ]
        array = (Comparison * len(compared))(*compared)
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number < 0:
                continue  # of another architecture, or newer than this libseccomp
            done = lib.seccomp_rule_add_array(context, wanted, number, len(compared), array)
            if done:
                raise OSError(-done, os.strerror(-done), name)
    done = lib.seccomp_load(context)
    if done:
        raise OSError(-done, os.strerror(-done), "seccomp_load")


def action(name: str, errno: int) -> int:
    return ALLOW if name == "SCMP_ACT_ALLOW" else ERRNO | errno


def main() -> None:
    lib = library()
    assert lib is not None, "there is no libseccomp.so.2"
    confine(json.loads(Path(sys.argv[1]).read_text()), lib)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
