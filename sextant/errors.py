"""
Everything Sextant raises on purpose: one root, named by what the reader should do.

::

    SextantError
    ├── CovarianceError (ValueError)         a matrix no random vector has: mend the covariance
    ├── FusionError (ValueError)             the members' answers cannot be combined
    ├── CalibrationError (ValueError)        too few or unusable calibration rows: bring more
    ├── InputRefused (ValueError)            a tensor is wrong: .tensor .expected .came
    ├── ParametersError (ValueError)         a block's parameters are wrong: mend the spec
    ├── SurveyError (ValueError)             a survey file is absent, cut short or another table
    ├── SettingsError (ValueError)           .problems: sextant.toml is wrong
    ├── LimitsError (ValueError)             .problems: the limits of a load test are wrong
    ├── LoadTestError                        a load could not be put on: what is to be asked, or its generator
    ├── MissingExtra (ImportError)           an extra is not installed: type the line it gives
    ├── ClientError                          a call failed
    │   ├── ServerUnreachable (ConnectionError)   nothing answers there: check it, or wait
    │   │   └── CertificateRefused                nobody you trust vouches for what answers: name its authority
    │   ├── DeadlineExceeded (TimeoutError)       too slow: retry, or allow more time
    │   ├── ServerBusy                            its queue is full: retry later
    │   ├── ModelNotReady (LookupError)           not served: promote it
    │   ├── RequestRefused (ValueError)           your arrays are wrong: fix them
    │   ├── AddressRefused (ValueError)           the URL is wrong: mend it
    │   ├── AccessDenied (PermissionError)        a control call without the token
    │   └── ModelFailed                           it broke on a valid request: report it
    ├── ExportError                          no release came of it; nothing served has changed
    │   ├── PipelineError                    .problems: the file is wrong
    │   ├── RegistryError (LookupError)      MLflow has no such model, version, alias or signature
    │   ├── RegistryUnreachable (ConnectionError)  MLflow does not answer
    │   ├── ConversionError                  the model cannot become ONNX
    │   ├── ParityError                      .worst .tolerance: converted, and answers differently
    │   ├── ModelStopped                     .limit: a model's code went too far, or ended its process
    │   ├── PickleRefused                    .files: pickles, where none may be loaded: log another format
    │   ├── BreakingChange                   inputs or outputs changed: publish under a new name
    │   ├── StoreError (OSError)             the store cannot be read or written
    │   ├── ReceiptError                     a receipt was changed after it was written
    │   └── SignatureError                   a release is not signed, or not by your key
    ├── PromoteError                         the release exists; what is served has not changed
    │   ├── LeaseHeld                        somebody else is at work on the pipeline: wait for it
    │   ├── LoadFailed                       a Triton refused a model
    │   ├── GateFailed                       .results: measured against wanted
    │   └── TrialFailed                      .verdict: the canary was taken back, or stayed undecided
    └── ServerError                          the embedded Triton
        ├── LaunchRefused                    this machine cannot run it: do what the sentence says
        └── ServerDied                       it, or a model's process, ended by itself
"""

from __future__ import annotations


class SextantError(Exception):
    """The root: ``except SextantError`` catches everything Sextant raises on purpose."""


class CovarianceError(SextantError, ValueError):
    """A matrix no random vector has."""


class FusionError(SextantError, ValueError):
    """The members' answers cannot be combined."""


class CalibrationError(SextantError, ValueError):
    """Too few or unusable calibration rows."""


class InputRefused(SextantError, ValueError):
    """A tensor is not what the model takes; says its name, what was expected and what came."""

    def __init__(self, tensor: str, expected: str, came: str) -> None:
        self.tensor, self.expected, self.came = tensor, expected, came
        super().__init__(f"{tensor}: expected {expected}, got {came}")


class ParametersError(SextantError, ValueError):
    """A block's parameters, or a function's arguments, are wrong."""


class SurveyError(SextantError, ValueError):
    """A survey file is absent, cut short or another table."""


class SettingsError(SextantError, ValueError):
    """``sextant.toml`` has problems; ``problems`` lists every one with its address."""

    def __init__(self, problems: tuple[object, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class LimitsError(SextantError, ValueError):
    """The limits of a load test have problems; ``problems`` lists every one with its address."""

    def __init__(self, problems: tuple[object, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class LoadTestError(SextantError):
    """A load could not be put on: there is nothing to ask with, or the load generator broke."""


class MissingExtra(SextantError, ImportError):
    """An optional part is not installed; says the line to type."""

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs an extra: pip install 'triton-sextant[{extra}]'")


class ClientError(SextantError):
    """A call to a Triton failed."""


class ServerUnreachable(ClientError, ConnectionError):
    """Nothing answers there: check the address, or wait."""


class CertificateRefused(ServerUnreachable):
    """What answers shows a certificate that is not believed: name its authority, and the host as it is called there."""


class DeadlineExceeded(ClientError, TimeoutError):
    """No answer in time: retry, or allow more time."""


class ServerBusy(ClientError):
    """The server's queue is full: retry later."""


class ModelNotReady(ClientError, LookupError):
    """The model is not served: promote it, or mend the name."""


class RequestRefused(ClientError, ValueError):
    """The server refused the arrays: fix them."""


class AddressRefused(ClientError, ValueError):
    """The URL names no Triton: mend it."""


class AccessDenied(ClientError, PermissionError):
    """A control call without the server's token."""


class ModelFailed(ClientError):
    """The model broke on a valid request: report it."""


class ExportError(SextantError):
    """No release came of it; what is served has not changed."""


class PipelineError(ExportError):
    """A pipeline spec has problems; ``problems`` lists every one with its address."""

    def __init__(self, problems: tuple[object, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class RegistryError(ExportError, LookupError):
    """MLflow has no such model, version, alias or signature."""


class RegistryUnreachable(ExportError, ConnectionError):
    """MLflow does not answer."""


class ConversionError(ExportError):
    """The model cannot become ONNX."""


class ParityError(ExportError):
    """The copy answers differently from the original."""

    def __init__(self, message: str, *, worst: float, tolerance: float) -> None:
        self.worst, self.tolerance = worst, tolerance
        super().__init__(message)


class ModelStopped(ExportError):
    """
    A model's code broke, ended the process it ran in, or went over a limit.

    ``limit`` is ``cpu``, ``memory`` or ``time``, or None.
    """

    def __init__(self, message: str, *, limit: str | None) -> None:
        self.limit = limit
        super().__init__(message)


class PickleRefused(ExportError):
    """A model holds pickles, the ``files``, and none may be loaded."""

    def __init__(self, message: str, *, files: tuple[str, ...]) -> None:
        self.files = files
        super().__init__(message)


class BreakingChange(ExportError):
    """Inputs or outputs differ from what is served under this name."""


class StoreError(ExportError, OSError):
    """The store cannot be read or written."""


class ReceiptError(ExportError):
    """A receipt was changed after it was written."""


class SignatureError(ExportError):
    """A release is not signed, or not by the key that is trusted, or the key cannot be used."""


class PromoteError(SextantError):
    """The release exists; what is served has not changed."""


class LeaseHeld(PromoteError):
    """Another process is promoting, rolling back or removing this pipeline: wait for it."""


class LoadFailed(PromoteError):
    """A Triton refused a model."""


class GateFailed(PromoteError):
    """A gate was not passed; ``results`` holds wanted against measured."""

    def __init__(self, message: str, results: tuple[object, ...] = ()) -> None:
        self.results = results
        super().__init__(message)


class TrialFailed(PromoteError):
    """A canary ended without an advance; ``verdict`` holds the evidence."""

    def __init__(self, message: str, verdict: object) -> None:
        self.verdict = verdict
        super().__init__(message)


class ServerError(SextantError):
    """The embedded Triton failed."""


class LaunchRefused(ServerError):
    """This machine cannot run the embedded Triton."""


class ServerDied(ServerError):
    """The server, or a model's process, ended by itself."""
