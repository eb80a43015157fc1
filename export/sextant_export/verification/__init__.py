"""Whether a store is what its receipts say: every release, every file, every configuration."""

from sextant_export.verification.finding import Finding
from sextant_export.verification.verify import verify

__all__ = ["Finding", "verify"]
