"""podpin: what runs is always one exact, named, proven digest."""

__version__ = "0.1.0"
