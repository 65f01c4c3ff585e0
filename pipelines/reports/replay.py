"""A replay as Markdown, for a reader."""

from collections.abc import Iterator

from pipelines.replay.replay_report import FindingReplay, RateWithBounds, ReplayReport

_HEAD = (
    "| finding | calls before | calls now | disagreement | change of calls | PSI | KS "
    "| blind verdicts: only the champion right / only the challenger right | p | verdict |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def markdown_replay(replay: ReplayReport) -> str:
    """Write a replay as Markdown."""
    return "\n".join(_lines(replay)) + "\n"


def _lines(replay: ReplayReport) -> Iterator[str]:
    left_out, latency = replay.left_out, replay.latency_ms
    yield f"# Replay of {replay.radiographs} radiographs: {replay.verdict}"
    yield ""
    challenger = replay.challenger.version
    yield f"Challenger {challenger}, compared with the journaled answers of `{replay.champion_digest}`."
    yield ""
    yield from (f"- {reason}" for reason in replay.reasons)
    yield (
        f"\nNot replayed: {left_out.other_model} of another model, {left_out.repeated} repeated, "
        f"{left_out.not_kept} sent in the request and not stored, {left_out.gone} gone, "
        f"{left_out.changed} changed, "
        f"{left_out.unreadable} unreadable. Invalid outputs of the challenger: {replay.invalid}."
    )
    yield (
        f"\nMilliseconds, median and 95th percentile: journaled {_ms(latency.champion_median)} and "
        f"{_ms(latency.champion_p95)} (with queue and network), "
        f"replayed {_ms(latency.challenger_median)} and {_ms(latency.challenger_p95)}.\n"
    )
    yield _HEAD
    yield from map(_row, replay.findings)
    seen = sum(_verdicts_after_seeing(each) for each in replay.findings)
    yield f"\n{seen} more verdicts were given after the reader had seen the answer. They do not count."


def _verdicts_after_seeing(found: FindingReplay) -> int:
    after = found.after_seeing
    return after.both_right + after.champion_only + after.challenger_only + after.both_wrong


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(figure: RateWithBounds, sign: str = "") -> str:
    return f"{figure.value:{sign}.1%} ({figure.low:{sign}.1%} to {figure.high:{sign}.1%})"


def _row(found: FindingReplay) -> str:
    cells = (
        found.finding,
        str(found.champion_calls),
        str(found.challenger_calls),
        _share(found.disagreement),
        _share(found.call_rate_change, "+"),
        f"{found.psi:.3f}",
        f"{found.ks:.3f}",
        f"{found.blind.champion_only} / {found.blind.challenger_only}",
        f"{found.blind.p:.3f}",
        found.verdict,
    )
    return "| " + " | ".join(cells) + " |"
