"""What a person reads after a night: a summary in the terminal and one HTML page."""

from infra.report.night import NightSummary
from infra.report.page import render
from infra.report.terminal import print_summary

__all__ = ["NightSummary", "print_summary", "render"]
