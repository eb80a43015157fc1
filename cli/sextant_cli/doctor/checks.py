"""Every check there is, by what it looks at; one more is a file and a line here."""

from __future__ import annotations

from typing import Any

from sextant_cli.doctor.check import Check
from sextant_cli.doctor.machine.clock import CLOCK
from sextant_cli.doctor.machine.embedded import EMBEDDED
from sextant_cli.doctor.machine.extras import EXTRAS
from sextant_cli.doctor.machine.here import Here
from sextant_cli.doctor.machine.ports import PORTS
from sextant_cli.doctor.machine.room import CORES, FILES, MEMORY
from sextant_cli.doctor.machine.shared_memory import ORPHANS, SIZE
from sextant_cli.doctor.server.cleartext import CLEARTEXT
from sextant_cli.doctor.server.control import CONTROL_OPEN
from sextant_cli.doctor.server.drift import DRIFT
from sextant_cli.doctor.server.load import CORES as CORES_SERVED
from sextant_cli.doctor.server.load import FILES as FILES_SERVED
from sextant_cli.doctor.server.metrics import FAILURES, METRICS
from sextant_cli.doctor.server.models import MODELS
from sextant_cli.doctor.server.stubs import DEAD, NUMPY
from sextant_cli.doctor.server.triton import Triton
from sextant_cli.doctor.server.version import EXPOSED, VERSION
from sextant_cli.doctor.settings.registry import REGISTRY
from sextant_cli.doctor.settings.secrets import SECRETS, TOKENS
from sextant_cli.doctor.settings.signing import SIGNING
from sextant_cli.doctor.settings.told import Told
from sextant_cli.doctor.store.kept import Kept
from sextant_cli.doctor.store.permissions import READABLE, WRITABLE
from sextant_cli.doctor.store.place import PATH, SPACE, STAMPS
from sextant_cli.doctor.store.signatures import SIGNATURES
from sextant_cli.doctor.store.soundness import LINKS, SOUND

SERVER: tuple[Check[Triton], ...] = (
    EXPOSED,
    CONTROL_OPEN,
    VERSION,
    NUMPY,
    DEAD,
    MODELS,
    DRIFT,
    FAILURES,
    METRICS,
    CLEARTEXT,
    CORES_SERVED,
    FILES_SERVED,
)
STORE: tuple[Check[Kept], ...] = (WRITABLE, SOUND, LINKS, SIGNATURES, READABLE, SPACE, PATH, STAMPS)
SETTINGS: tuple[Check[Told], ...] = (SECRETS, TOKENS, SIGNING, REGISTRY)
MACHINE: tuple[Check[Here], ...] = (EMBEDDED, EXTRAS, SIZE, ORPHANS, CORES, MEMORY, FILES, PORTS, CLOCK)
ALL: tuple[Check[Any], ...] = (*SERVER, *STORE, *SETTINGS, *MACHINE)
