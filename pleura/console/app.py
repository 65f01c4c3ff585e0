"""The command ``pleura``: run Pleura on one machine, and ask it.

Only the command that was given is imported: what starts servers and what draws pictures loads slowly.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pleura.console.model_arguments import add_model
from pleura.console.output import print_error
from pleura.console.pipeline_arguments import add_pipeline
from pleura.console.settings import Settings
from pleura.settings import InvalidSettings


def _add_stack(commands: Any, settings: Settings) -> None:
    up = commands.add_parser("up", help="start everything on this machine, and keep it running")
    up.set_defaults(run="cli_stack:up")
    up.add_argument("--port", type=_port, default=8000, help="REST port of the proxy (default %(default)s)")
    up.add_argument("--grpc-port", type=_port, default=8001, help="its gRPC port (default %(default)s)")
    up.add_argument("--detach", action="store_true", help="return when it answers, and leave it running")
    up.add_argument("--classify-samples", action="store_true", help="show the samples' findings when ready")
    up.add_argument("--bundle", type=Path, default=settings.bundle, help="model bundle to serve")
    up.add_argument("--s3", metavar="URL", help="use this S3 server instead of starting one")
    secret = settings.s3_secret_key
    up.add_argument("--s3-access-key", default=settings.s3_access_key, metavar="KEY")
    up.add_argument("--s3-secret-key", default=secret and secret.get_secret_value(), metavar="KEY")
    cache = up.add_mutually_exclusive_group()
    cache.add_argument("--redis", metavar="URL", help="use this Redis server instead of starting one")
    cache.add_argument("--no-cache", action="store_true", help="read every radiograph anew: no Redis at all")
    up.add_argument("--postgres", metavar="URL", help="use this PostgreSQL server instead of starting one")
    up.add_argument(
        "--threads", type=int, metavar="N", help="threads that inference computes on (one for each core)"
    )
    up.add_argument(
        "--restarts", type=int, default=3, help="times a minute that a part is started again (%(default)s)"
    )
    commands.add_parser("down", help="stop it").set_defaults(run="cli_stack:down")
    commands.add_parser("status", help="say what runs").set_defaults(run="cli_stack:status")
    token = commands.add_parser("token", help="print a token for it")
    token.set_defaults(run="cli_stack:token")
    token.add_argument("--subject", default="local", help="who asks (default %(default)s)")
    token.add_argument("--scope", action="append", help="a scope; may be repeated (default: all)")
    token.add_argument("--hours", type=float, default=12.0, help="lifetime (default %(default)s)")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return int(text)


def _add_classify(commands: Any, settings: Settings) -> None:
    classify = commands.add_parser("classify", help="print the findings of radiographs, and draw them")
    classify.set_defaults(run="cli_classify:classify")
    classify.add_argument("radiographs", nargs="+", metavar="FILE_OR_ID")
    classify.add_argument("--json", action="store_true", help="print one JSON object a line")
    classify.add_argument(
        "--output", type=Path, default=Path(), metavar="FOLDER", help="where pictures go (here)"
    )
    classify.add_argument("--no-overlay", action="store_true", help="draw nothing")
    _add_where(classify, settings)


def _add_feedback(commands: Any, settings: Settings) -> None:
    feedback = commands.add_parser("feedback", help="store a radiologist's verdicts on an answer")
    feedback.set_defaults(run="cli_feedback:feedback")
    feedback.add_argument("request_id", help="the request id of the answer")
    feedback.add_argument("--position", type=int, default=0, help="which radiograph of the request (0)")
    feedback.add_argument("--answered-to", metavar="PRINCIPAL", help="who was answered (who gives feedback)")
    for name, meaning in {
        "present": "is there",
        "absent": "is not there",
        "unsure": "cannot be told",
    }.items():
        feedback.add_argument(f"--{name}", nargs="+", default=[], metavar="FINDING", help=meaning)
    seen = feedback.add_mutually_exclusive_group(required=True)
    seen.add_argument("--blind", dest="seen", action="store_false", help="judged before seeing the answer")
    seen.add_argument("--seen", dest="seen", action="store_true", help="judged after seeing the answer")
    feedback.add_argument("--feedback-id", metavar="ID", help="that of verdicts to be sent again")
    _add_where(feedback, settings)


def _add_where(command: Any, settings: Settings) -> None:
    command.add_argument("--url", default=settings.url, help="address (that of the local stack)")
    token = settings.token
    command.add_argument("--token", default=token and token.get_secret_value(), help="bearer token")


def _parser(settings: Settings) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pleura", description="Run Pleura on one machine, and ask it.")
    parser.add_argument(
        "--state",
        type=Path,
        default=settings.home,
        metavar="FOLDER",
        help="where the stack keeps its state (%(default)s)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_stack(commands, settings)
    _add_classify(commands, settings)
    _add_feedback(commands, settings)
    add_model(commands, settings)
    add_pipeline(commands, settings)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0, or 1 where something failed (said in one line on standard error).
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        settings = Settings.read()
    except InvalidSettings as error:
        return print_error(str(error))
    parsed = _parser(settings).parse_args(given, argparse.Namespace(given=given))
    module, name = parsed.run.split(":")
    try:
        code: int = getattr(importlib.import_module(f"pleura.{module}"), name)(parsed)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read our output has gone; the interpreter must not flush into it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
