"""The folder that training writes to, which one process of a launch makes."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from mygo.runtime import Runtime
from mygo.workdir import atomic_folder


def output_folder(out: Path, runtime: Runtime) -> AbstractContextManager[Path]:
    """`atomic_folder` in the process that writes; the others would take it from under it."""
    return atomic_folder(out) if runtime.is_main else nullcontext(out)
