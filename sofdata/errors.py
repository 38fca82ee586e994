"""The errors of sofdata, named by what the caller does about each.

All carry one message and survive pickling, since they travel through Ray and between processes.
A video that is too short or does not move is no error: that is an outcome, and it is counted.
"""


class SofdataError(Exception):
    """Base of all errors that sofdata raises on purpose."""


class Interrupted(BaseException):
    """The user or the batch system wants the command to end. No library catches it."""


class ConfigError(SofdataError):
    """The user's command, recipe or corpus layout is wrong: stop before any work."""


class InputError(SofdataError):
    """One input is bad: quarantine that video and go on."""


class DecodeError(InputError):
    """A video could not be decoded."""


class FlowError(InputError):
    """Flow could not be estimated for a video."""


class ActionError(InputError):
    """The actions of a demonstration cannot be read, or are not what the corpus says."""


class TransientError(SofdataError):
    """Something outside failed and may work again: retry with backoff, a few times."""


class StorageError(SofdataError):
    """The source or destination cannot be read or written: stop; the same command resumes."""


class WorseError(SofdataError):
    """What would replace a result is worse than it: that one is kept."""


class ContractError(SofdataError):
    """sofdata broke its own rules: abort the run and report the bug."""
