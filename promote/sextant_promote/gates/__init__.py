"""What a candidate must show through Triton before it answers anyone."""

from sextant_promote.gates.load import Load
from sextant_promote.gates.memory import MemoryMeter, memory_meter
from sextant_promote.gates.requiring import require_gates
from sextant_promote.gates.result import GateResult
from sextant_promote.gates.table import gate_table

__all__ = ["GateResult", "Load", "MemoryMeter", "gate_table", "memory_meter", "require_gates"]
