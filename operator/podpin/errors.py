"""What can go wrong outside podpin, in the words the rest of podpin uses.

An adapter turns its vendor's exceptions into these at the door, so that nobody else imports aiohttp's or Kubernetes'
own. Whose fault it is *is* the class; the text is one sentence for the user: what is wrong, with which value, what to
do. It holds no credential, no timestamp and no copy of a stranger's answer, for it goes into conditions and events as
it stands.
"""

from __future__ import annotations


class PodpinError(Exception):
    """The root of all errors that podpin raises on purpose."""


class Unavailable(PodpinError):  # noqa: N818 -- named for what the outside world is, as HTTP names it
    """The other side did not answer, or said to come back later. Nothing follows from it about any image.

    `retry_after` is the wait that the other side asked for, in seconds, or None where it named none.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Denied(PodpinError):  # noqa: N818
    """The other side refused these credentials, or the lack of any (HTTP 401 or 403)."""


class NotFound(PodpinError):  # noqa: N818
    """What was asked for does not exist there (HTTP 404)."""


class Untrusted(PodpinError):  # noqa: N818
    """The answer cannot be trusted: a certificate, a digest or a document that does not hold what it promises."""


class Invalid(PodpinError):  # noqa: N818
    """The request itself is wrong and will be refused again until somebody changes it (HTTP 400 or 422)."""


class Unverifiable(PodpinError):  # noqa: N818
    """Nothing can be verified so, whatever it is: a key that cannot be read, or a trusted root that is missing."""


class Conflict(PodpinError):  # noqa: N818
    """Somebody else changed or owns the object (HTTP 409): look again, then decide anew."""
