"""The command line."""

from sofdata.cli.app import main

__all__ = ["main"]
