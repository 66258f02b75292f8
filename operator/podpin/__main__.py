"""The one program: `podpin`, `kubectl podpin` and `python -m podpin`; `podpin run` is the operator."""

from __future__ import annotations

import asyncio
import logging
import sys

from podpin.adapters.kube import slim
from podpin.cli import commands
from podpin.cli.commands import CHOOSE, COMMANDS, program
from podpin.errors import PodpinError


def main() -> None:
    """Do what was asked. `run` exits with 0 when it was asked to stop, with 1 when it could not start."""
    if sys.argv[1:2] == ["choose"]:
        from podpin import choose  # only now: `run` needs nothing of it

        sys.exit(choose.main(sys.argv[2:]))
    called = program(sys.argv[0])
    if sys.argv[1:] and sys.argv[1] in COMMANDS:
        sys.exit(commands.main(sys.argv[1], sys.argv[2:], called))
    from podpin import logs  # only now: what people ask for is to be there at once
    from podpin.settings import parse_settings

    others = {name: command.help for name, command in COMMANDS.items()} | {"choose": CHOOSE}
    settings = parse_settings(sys.argv[1:], called=called, others=others)
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
