"""The errors that a user can see, each with the exit code of the commands.

Every message names the argument or file, what was expected, what was found, and what to do about it.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_CODES = {
    0: "done",
    1: "unexpected error: please report it",
    2: "wrong option or setting, or an optional library that isn't installed",
    3: "data or a file that can't be used; also a full disk or a folder that can't be written",
    4: "training diverged: a loss was no longer a finite number",
    5: "device or memory: no usable GPU, or not enough memory",
    6: "a process of a job of several (mpiexec) was lost; resume it",
    130: "interrupted by Ctrl-C or SIGTERM; a training run has saved its state first",
    141: "the program that read the output stopped reading (such as head)",
}
"""What a command's exit code means."""


class MilkError(Exception):
    """Base class of the errors with a known cause; `exit_code` is what a command returns for it."""

    exit_code: ClassVar[int] = 1


class SettingsError(MilkError, ValueError):
    """An option, argument or configuration key has an impossible value or name."""

    exit_code = 2


class DataError(MilkError, ValueError):
    """A file or array can't be used as it is."""

    exit_code = 3


class ModalityError(DataError):
    """The features or the availability of one modality can't be used as they are."""


class DivergedError(MilkError, RuntimeError):
    """Training produced a value that is not finite."""

    exit_code = 4


class DeviceError(MilkError, RuntimeError):
    """The requested device can't be used."""

    exit_code = 5


class OutOfMemoryError(DeviceError):
    """The job doesn't fit the memory of the machine or device."""


class LostRankError(MilkError, RuntimeError):
    """Another process of the job was killed, or its machine is gone."""

    exit_code = 6


class DataWarning(UserWarning):
    """Data that can be used but give results that are probably not what was meant."""


class MissingExtraError(MilkError, ImportError):
    """An optional dependency is not installed; the message names the extra that installs it."""

    exit_code = 2
