"""What is wrong with a machine, its settings, a store and the Tritons that serve it, and what to change."""

from sextant_cli.doctor.examination import Subjects, examine
from sextant_cli.doctor.finding import Finding
from sextant_cli.doctor.report import Report

__all__ = ["Finding", "Report", "Subjects", "examine"]
