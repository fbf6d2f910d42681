"""What the C library does with the memory of the program, where it is glibc."""

import platform
import subprocess
import sys

import pytest

COUNTED = """
import ctypes
from clipstream.cli import main
assert main(["--version"]) == 0
import clipstream.run.run, clipstream.dataflow.flow
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
def test_whatever_threads_libraries_start_the_command_line_has_one_arena() -> None:
    ran = subprocess.run([sys.executable, "-c", COUNTED], capture_output=True, text=True, check=True)
    assert ran.stdout.count("<heap nr=") == 1
