"""What was measured, per metric and variant, and what follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

BASE = "direct"
PEER = "agentguard"


@dataclass(frozen=True, slots=True)
class Metric:
    """A row of the table. `versus`: what no shim is compared by; a row without it has no value for no shim."""

    key: str
    label: str
    unit: str
    digits: int
    versus: Literal["ratio", "added", "both"] | None


METRICS = (
    Metric("first_answer_ms", "first answer", "ms", 1, "added"),
    Metric("first_call_ms", "first call answered", "ms", 1, "added"),
    Metric("p50_apart_us", "tools/call p50, client on its own core", "µs", 0, "both"),
    Metric("p99_apart_us", "tools/call p99, client on its own core", "µs", 0, "both"),
    Metric("p50_us", "tools/call p50, as the scheduler likes", "µs", 0, "both"),
    Metric("p99_us", "tools/call p99, as the scheduler likes", "µs", 0, "both"),
    Metric("window_64_per_s", "pipelined, 64 in flight", "calls/s", 0, "ratio"),
    Metric("unbounded_per_s", "pipelined, unbounded", "calls/s", 0, "ratio"),
    Metric("text_1_mib_ms", "1 MiB result", "ms", 1, "ratio"),
    Metric("text_10_mib_ms", "10 MiB result", "ms", 1, "ratio"),
    Metric("pss_mib", "memory after 500 calls (PSS)", "MiB", 1, None),
    Metric("private_mib", "memory after 500 calls (private)", "MiB", 1, None),
    Metric("pss_after_10_mib_mib", "memory after a 10 MiB result (PSS)", "MiB", 1, None),
    Metric("load_growth_mib", "growth under sustained load", "MiB", 1, None),
    Metric("load_peak_mib", "peak under sustained load (private)", "MiB", 1, None),
    Metric("slow_reader_mib", "growth with a slow reader", "MiB", 1, None),
    Metric("deaf_server_mib", "growth with a deaf server", "MiB", 1, None),
    Metric("decision_plain_us", "decision by 200 rules without conditions, p50", "µs", 1, None),
    Metric("decision_expressions_us", "decision by 200 rules, 20 with expressions, 3 of them apply, p50", "µs", 1, None),
    Metric("decision_paths_us", "the same and 2 more on paths, p50", "µs", 1, None),
    Metric("load_plain_ms", "loading 200 rules without conditions", "ms", 1, None),
    Metric("load_conditions_ms", "loading 200 rules, 20 with expressions", "ms", 1, None),
    Metric("policy_imports_ms", "importing what loads and judges", "ms", 1, None),
)


@dataclass(slots=True)
class Results:
    """Values by metric, variant and round; failures by metric and variant.

    A value is kept with its round, since comparisons are made within a round: what disturbed it disturbed all variants.
    """

    values: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict)
    failures: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, metric: str, variant: str, turn: int, value: float) -> None:
        """Keep a value."""
        self.values.setdefault(metric, {}).setdefault(variant, {})[turn] = value

    def fail(self, metric: str, variant: str, reason: str) -> None:
        """Keep why there is no value; the first reason counts."""
        self.failures.setdefault(metric, {}).setdefault(variant, reason)

    def middle(self, metric: str, variant: str) -> float | None:
        """The median over the rounds."""
        values = self.values.get(metric, {}).get(variant)
        return median(values.values()) if values else None

    def ratio(self, metric: str, variant: str) -> float | None:
        """Variant to no shim, the median of the rounds' ratios."""
        return self._paired(metric, (variant, BASE), lambda v: v[0] / v[1])

    def added(self, metric: str, variant: str) -> float | None:
        """Variant less no shim, the median of the rounds' differences."""
        return self._paired(metric, (variant, BASE), lambda v: v[0] - v[1])

    def share_of_peer(self, metric: str, variant: str) -> float | None:
        """What the variant adds to no shim, to what agentguard adds; the median of the rounds' shares."""
        return self._paired(metric, (variant, PEER, BASE), lambda v: (v[0] - v[2]) / (v[1] - v[2]))

    def as_dict(self) -> dict[str, object]:
        """All of it for JSON."""
        out: dict[str, object] = {}
        for metric in METRICS:
            rows: dict[str, object] = {}
            for variant, values in self.values.get(metric.key, {}).items():
                rows[variant] = {"median": self.middle(metric.key, variant), "values": list(values.values())}
                if variant != BASE and metric.versus:
                    rows[variant] |= {  # type: ignore[operator]
                        "ratio": self.ratio(metric.key, variant),
                        "added": self.added(metric.key, variant),
                        "added_to_agentguard_added": self.share_of_peer(metric.key, variant),
                    }
            out[metric.key] = {
                "label": metric.label,
                "unit": metric.unit,
                "variants": rows,
                "failures": self.failures.get(metric.key, {}),
            }
        return out

    def _paired(self, metric: str, variants: tuple[str, ...], of: Callable[[tuple[float, ...]], float]) -> float | None:
        columns: list[Mapping[int, float]] = [self.values.get(metric, {}).get(name, {}) for name in variants]
        turns = set.intersection(*(set(column) for column in columns))
        found = []
        for turn in turns:
            try:
                found.append(of(tuple(column[turn] for column in columns)))
            except ZeroDivisionError:
                continue
        return median(found) if found else None
