"""``pleura feedback``: a radiologist's verdicts on an answer."""

import argparse
import json
import uuid
from collections.abc import Mapping
from typing import Any

from pleura.client import Client, RequestFailed
from pleura.console.access import find_service
from pleura.console.output import print_error, print_line
from pleura.local.state_folder import StateFolder


def feedback(arguments: argparse.Namespace) -> int:
    """Send the verdicts, and print what is stored."""
    feedback_id = arguments.feedback_id or str(uuid.uuid4())
    try:
        document = document_of(arguments)
        url, token = find_service(arguments, StateFolder(arguments.state.resolve()).read())
        with Client(url, token) as client:
            print_line(json.dumps(client.give_feedback(document, feedback_id)))
    except RequestFailed as error:
        return print_error(f"{error}; to send the same again: --feedback-id {feedback_id}")
    except ValueError as error:
        return print_error(str(error))
    return 0


def document_of(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """What ``POST /feedback`` takes.

    Raises:
        ValueError: No finding is named, or one is named twice.
    """
    said = {True: arguments.present, False: arguments.absent, None: arguments.unsure}
    verdicts = {name: present for present, names in said.items() for name in names}
    if not verdicts or len(verdicts) < sum(map(len, said.values())):
        raise ValueError("name each finding once, by --present, --absent or --unsure")
    answer = {"id": arguments.request_id, "position": arguments.position}
    if arguments.answered_to:
        answer["answered_to"] = arguments.answered_to
    return {**answer, "verdicts": verdicts, "had_seen_answer": arguments.seen}
