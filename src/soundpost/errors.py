"""The exceptions of the kit.

KitError
    SettingsError     an option, recipe or registry name that cannot be used as given
    ClipError         one clip that cannot be read; costs that clip's row, never the run
    WeightsError      weights that are missing, altered or do not fit their network
    CacheError        an index and a storage that disagree in a way that must not happen
    SubmissionError   a table that may not become submission.csv
    ShapeError        a tensor with other axes than the function promises to take
    BundleError       a kernel that cannot be built as asked
    DeviceError       a device that was asked for and does not work

Every message says what happened (with the value), where, and what to do next.
"""


class KitError(Exception):
    """Base of everything the kit raises on purpose."""


class SettingsError(KitError):
    """An option, a recipe or a registry name cannot be used as given."""


class ClipError(KitError):
    """One clip cannot be read; its row gets the fallback and the report names it."""


class WeightsError(KitError):
    """Weights are missing, altered, or do not fit the network that asks for them."""


class CacheError(KitError):
    """The cache was asked for something that its index forbids."""


class SubmissionError(KitError):
    """A table may not become submission.csv: rows, columns or values are wrong."""


class ShapeError(KitError):
    """A tensor has other axes than the function promises to take."""


class BundleError(KitError):
    """The kernel cannot be built as asked: a stray import, or too many bytes."""


class DeviceError(KitError):
    """A device was asked for that is not there or does not work.

    Args:
        message: the sentence.
        device: its name, "cuda:1"; empty where it is no single one.
    """

    def __init__(self, message: str, device: str = "") -> None:
        super().__init__(message)
        self.device = device


def sentence(error: BaseException) -> str:
    """What an exception says, on one line, for the log."""
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
