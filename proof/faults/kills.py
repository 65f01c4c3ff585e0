"""Kill random processes under load: ``python -m proof.faults.kills BUNDLE [KILLS] [SEED]``.

Each kill waits until the stack has recovered from the one before: the part runs again, and a radiograph that
no cache knows is answered. Callers repeat an unanswered request under the same request id, as clients do. The
journal must have exactly one row for each answered request, with the same content as the answer.
"""

import asyncio
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Final

from pleura.local.state_folder import ProcessId
from proof.faults.kill_campaign import CALL_LIMIT_S, MAX_RECOVERY_S, Kill, KillCampaign, run_kills
from proof.lab.arguments import parse_campaign
from proof.lab.load import BROKEN, LATE, CallResult, RetryingCaller, compute_quantile_ms
from proof.lab.processes import ProcessSample
from proof.lab.report import ClaimRow, print_claims
from proof.lab.running_stack import find_survivors
from proof.lab.stack import running_stack

_EXPECTED: Final = frozenset({200, 502, 503, BROKEN})
_WARM_UP_S: Final = 30.0
_TRIES: Final = (1, 2, 5, 10, 15, 20)
_MAX_MORE_DESCRIPTORS, _MAX_MORE_MB = 60, 40.0


def build_loss_rows(campaign: KillCampaign) -> list[ClaimRow]:
    """Build the claims that hold on a machine of any speed."""
    answers, journal = campaign.caller.answers, campaign.journal
    answered = sum(answer.is_ok for answer in answers)
    fresh = sum(answer.is_ok and not answer.document["cached"] for answer in answers)
    lost, differing = journal.count_lost(answers), journal.count_differing(answers)
    return [
        ClaimRow(
            "kills that the stack recovered from",
            f"{campaign.planned_kills}",
            *_compare_count(len(campaign.kills), campaign.planned_kills),
        ),
        ClaimRow("answered requests without a row in the journal", "0", f"{lost} of {answered}", not lost),
        ClaimRow("duplicate rows", "0", f"{journal.duplicates}", not journal.duplicates),
        ClaimRow("rows that differ from their answer", "0", f"{differing}", not differing),
        ClaimRow(
            "answers for another radiograph",
            "0",
            f"{campaign.wrong} ({fresh} not cached)",
            not campaign.wrong,
        ),
        ClaimRow("orphaned processes at the end", "0", f"{campaign.orphans}", not campaign.orphans),
    ]


def build_claim_rows(campaign: KillCampaign, left: int) -> list[ClaimRow]:
    """Build all claims of the campaign."""
    answers = campaign.caller.answers
    counts = Counter(answer.status for answer in answers)
    others = sum(n for status, n in counts.items() if status not in _EXPECTED)
    longest_s = max(answer.seconds for answer in answers)
    answered_ms = compute_quantile_ms([answer for answer in answers if answer.is_ok], 0.5)
    return [
        *build_loss_rows(campaign),
        ClaimRow(
            "calls that ended neither with 200, 502 or 503 nor with a broken connection",
            "0",
            f"{others} of {dict(counts)}",
            not others,
        ),
        *build_retry_rows(campaign.caller),
        ClaimRow(
            "longest call",
            f"<= {CALL_LIMIT_S:.1f} s",
            f"{longest_s:.2f} s (p50 of answers {answered_ms:.0f} ms)",
            longest_s <= CALL_LIMIT_S,
        ),
        ClaimRow("processes left after the stop", "0", f"{left}", not left),
        *_build_recovery_rows(campaign.kills),
        *_build_growth_rows(campaign.samples),
    ]


def build_retry_rows(caller: RetryingCaller) -> list[ClaimRow]:
    """Build the claims about callers without findings, and report how many tries callers needed."""
    stories = "; ".join(_describe_tries(tries) for tries in caller.given_up)
    measured = f"{len(caller.given_up)} of {len(caller.tries)}" + (f" ({stories})" if stories else "")
    counts = [sum(len(tries) > number for tries in caller.tries) for number in _TRIES]
    return [
        ClaimRow("callers without an answer", "0", measured, not caller.given_up),
        ClaimRow(f"callers with more than {_join(_TRIES)} tries", "", _join(counts), None),
    ]


def _describe_tries(tries: Sequence[CallResult]) -> str:
    """Describe the radiograph of a caller and the result of each try."""
    ends = Counter(_describe_result(answer) for answer in tries)
    seconds = tries[-1].sent_s - tries[0].sent_s
    counts = ", ".join(f"{number} x {end}" for end, number in ends.most_common())
    return f"{tries[0].image_id}, {len(tries)} tries in {seconds:.0f} s: {counts}"


def _describe_result(answer: CallResult) -> str:
    reason = answer.document.get("error") if isinstance(answer.document, dict) else None
    status = {BROKEN: "broken", LATE: "late"}.get(answer.status, f"{answer.status}")
    return f"{status} ({reason})" if reason else status


def _join(numbers: Sequence[int]) -> str:
    return ", ".join(f"{number}" for number in numbers)


def _compare_count(number: int, of: int) -> tuple[str, bool]:
    return f"{number}", number == of


def _build_recovery_rows(kills: Sequence[Kill]) -> list[ClaimRow]:
    by_part: dict[str, list[float]] = defaultdict(list)
    for kill in kills:
        by_part[kill.part].append(kill.seconds)
    return [
        ClaimRow(
            f"recovery after {part} ({len(times)} kills): p50, longest",
            f"<= {MAX_RECOVERY_S:.0f} s",
            f"{sorted(times)[len(times) // 2]:.1f}, {max(times):.1f} s",
            max(times) <= MAX_RECOVERY_S,
        )
        for part, times in sorted(by_part.items())
    ]


def _build_growth_rows(samples: Sequence[ProcessSample]) -> list[ClaimRow]:
    """Build the claims about the growth of processes after their first half minute."""
    samples_by_process: dict[tuple[str, ProcessId], list[ProcessSample]] = defaultdict(list)
    for sample in samples:
        samples_by_process[sample.part, sample.process].append(sample)
    last_s = max(sample.at_s for sample in samples)
    descriptors: dict[str, int] = defaultdict(int)
    megabytes: dict[str, float] = defaultdict(float)
    for (part, _), history in samples_by_process.items():
        late = [sample for sample in history if sample.at_s - history[0].at_s >= _WARM_UP_S]
        if late:
            megabytes[part] = max(megabytes[part], late[-1].rss_mb - late[0].rss_mb)
        if last_s - history[-1].at_s < 1.0:  # still alive after the load has ended
            descriptors[part] = max(descriptors[part], history[-1].descriptors - history[0].descriptors)
    return [
        ClaimRow(
            f"largest growth of a {part}: descriptors (without load), memory",
            f"<= {_MAX_MORE_DESCRIPTORS}, {_MAX_MORE_MB:.0f} MB",
            f"{descriptors[part]}, {megabytes[part]:.1f} MB",
            descriptors[part] <= _MAX_MORE_DESCRIPTORS and megabytes[part] <= _MAX_MORE_MB,
        )
        for part in sorted(megabytes)
    ]


def main() -> int:
    """Run the campaign. The exit status is 0 if every claim holds."""
    arguments = parse_campaign("proof.faults.kills", kills=200, seed=1)
    with running_stack(arguments.bundle, "--restarts", "1000") as stack:
        choose = random.Random(arguments.seed).choice
        campaign = asyncio.run(run_kills(stack, arguments.kills, choose, arguments.seed))
    left = len(find_survivors(list(campaign.processes)))
    return print_claims(
        f"{arguments.kills} kills under load, seed {arguments.seed}", build_claim_rows(campaign, left)
    )


if __name__ == "__main__":
    sys.exit(main())
