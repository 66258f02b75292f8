"""The one program: `podpin run` and `podpin choose`, also as `python -m podpin`."""

from __future__ import annotations

import asyncio
import logging
import sys

from podpin import logs
from podpin.adapters.kube import slim
from podpin.errors import PodpinError
from podpin.settings import parse_settings


def main() -> None:
    """Do what was asked. `run` exits with 0 when it was asked to stop, with 1 when it could not start."""
    if sys.argv[1:2] == ["choose"]:
        from podpin import choose  # only now: `run` needs nothing of it

        sys.exit(choose.main(sys.argv[2:]))
    settings = parse_settings(sys.argv[1:])
    logs.set_up(settings.log_format, settings.log_level)
    slim.spare()
    from podpin.serve import serve  # only now, for kopf imports the whole Kubernetes client where it finds it

    try:
        asyncio.run(serve(settings))
    except PodpinError as error:
        logging.getLogger("podpin").error("%s", error)  # noqa: TRY400 -- a sentence for the user, no traceback
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
