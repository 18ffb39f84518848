"""Loyalty Research: does a programme keep patients coming back and do them good?"""

__version__ = "0.1.0"
