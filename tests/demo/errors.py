"""What ends a demo early, told in one sentence."""

from __future__ import annotations


class DemoError(Exception):
    """Something did not come about that the demo was to show; the message says what was expected."""
