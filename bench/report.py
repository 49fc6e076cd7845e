"""The table that people read. What is compared with no shim stands in parentheses."""

from collections.abc import Mapping, Sequence

from bench.results import BASE, METRICS, PEER, Metric, Results

# What mcpwrap wants to reach: words, metric, how it is compared, the bound, and which side of it is good.
TARGETS = (
    ("added p50 at most 1/2 of what agentguard adds, own core", "p50_apart_us", "share", 0.5, "most"),
    ("added p50 at most 1/3 of what agentguard adds, own core (the aim)", "p50_apart_us", "share", 1 / 3, "most"),
    ("added p50 at most 1/2 of what agentguard adds, free", "p50_us", "share", 0.5, "most"),
    ("added p50 at most 1/3 of what agentguard adds, free (the aim)", "p50_us", "share", 1 / 3, "most"),
    ("at least 25,000 pipelined calls/s, 64 in flight", "window_64_per_s", "value", 25_000, "least"),
    ("at least 25,000 pipelined calls/s, unbounded", "unbounded_per_s", "value", 25_000, "least"),
    ("1 MiB result at most 2 x no shim", "text_1_mib_ms", "ratio", 2.0, "most"),
    ("1 MiB result at most 1.5 x no shim (the aim)", "text_1_mib_ms", "ratio", 1.5, "most"),
    ("first answer at most 150 ms later", "first_answer_ms", "added", 150.0, "most"),
    ("at most 30 MiB of proportional memory", "pss_mib", "value", 30.0, "most"),
    ("no more than 1 MiB of growth under sustained load", "load_growth_mib", "value", 1.0, "most"),
    ("no more than 8 MiB of growth with a slow reader", "slow_reader_mib", "value", 8.0, "most"),
    ("no more than 8 MiB of growth with a deaf server", "deaf_server_mib", "value", 8.0, "most"),
    ("a decision with 3 expressions in at most 50 µs", "decision_expressions_us", "value", 50.0, "most"),
    ("a policy without conditions is loaded in at most 30 ms", "load_plain_ms", "value", 30.0, "most"),
    ("a policy with conditions is loaded in at most 150 ms", "load_conditions_ms", "value", 150.0, "most"),
)


def table(results: Results, names: Mapping[str, str]) -> str:
    """Metrics down, variants across (`names`: key to heading), in Markdown that also reads well as it is."""
    rows: list[list[str]] = [["", *names.values()]]
    for metric in METRICS:
        if metric.key in results.values or metric.key in results.failures:
            rows.append([f"{metric.label}, {metric.unit}", *(_cell(results, metric, name) for name in names)])
    if PEER in names:
        for words, metric_key in (("own core", "p50_apart_us"), ("free", "p50_us")):
            shares = [results.share_of_peer(metric_key, name) if name != BASE else None for name in names]
            if any(share is not None for share in shares):
                cells = ("–" if share is None else f"{share:.2f} x" for share in shares)
                rows.append([f"added p50 to what agentguard adds, {words}", *cells])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(_aligned(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|")
    return "\n".join(lines)


def failures(results: Results, names: Mapping[str, str]) -> list[str]:
    """Why cells say `failed`."""
    return [
        f"{names[variant]}, {metric.label}: {reason}"
        for metric in METRICS
        for variant, reason in results.failures.get(metric.key, {}).items()
    ]


def targets(results: Results) -> list[str]:
    """What was wanted of mcpwrap and what came out; nothing where it wasn't measured."""
    lines = []
    for words, metric, kind, bound, which in TARGETS:
        value = {
            "share": results.share_of_peer,
            "ratio": results.ratio,
            "added": results.added,
            "value": results.middle,
        }[kind](metric, "mcpwrap")
        if value is None:
            continue
        met = value <= bound if which == "most" else value >= bound
        lines.append(f"{'met   ' if met else 'missed'}  {words}: {value:,.{0 if value >= 1000 else 2}f}")
    return lines


def _cell(results: Results, metric: Metric, name: str) -> str:
    value = results.middle(metric.key, name)
    if value is None:
        return "failed" if name in results.failures.get(metric.key, {}) else "–"
    text = f"{value:,.{metric.digits}f}"
    extra: Sequence[str] = ()
    if name != BASE:
        ratio, added = results.ratio(metric.key, name), results.added(metric.key, name)
        times = [] if ratio is None else [f"{ratio:.2f} x"]
        plus = [] if added is None else [f"{added:+,.{metric.digits}f}"]
        extra = {"ratio": times, "added": plus, "both": plus + times, None: []}[metric.versus]
    return f"{text} ({', '.join(extra)})" if extra else text


def _aligned(row: list[str], widths: list[int]) -> list[str]:
    return [cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
