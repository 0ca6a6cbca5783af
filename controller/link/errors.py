"""What goes wrong with the link to the plant.

::

    LinkError
    ├── LinkLost        the connection or an answer is gone: throw the client away, connect anew
    ├── LinkRefused     the server does not want us, or we do not want it: certificate, password
    └── WriteTimeout    no answer to a write: it may still be executed, and is never repeated
"""

from __future__ import annotations

__all__ = ["LinkError", "LinkLost", "LinkRefused", "WriteTimeout"]


class LinkError(Exception):
    """Something is wrong with the link to the plant."""


class LinkLost(LinkError):
    """The connection, or the answer to a request, is gone."""


class LinkRefused(LinkError):
    """A certificate, password or security policy is not accepted, by the server or by us."""


class WriteTimeout(LinkError):
    """A write was not answered in time. It may be executed all the same, even seconds later."""
