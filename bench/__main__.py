"""`python -m bench`: measure, print the table, write the JSON. Progress goes to standard error."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import platformdirs

from bench import machine, report
from bench.measure import FULL, QUICK, STEPS, Run, measure, tell
from bench.results import Results
from bench.variants import ORDINARY, VARIANTS, Place, Unavailable, Variant, server_command

RESULTS = Path(__file__).resolve().parent / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; 0 whatever the numbers are, 1 when no variant could be measured."""
    options = _options(arguments)
    plan = QUICK if options.quick else FULL
    if options.rounds is not None:
        plan = replace(plan, rounds=options.rounds, memory_rounds=min(plan.memory_rounds, options.rounds))
    if options.starts is not None:
        plan = replace(plan, starts=options.starts)
    if options.long is not None:
        plan = replace(plan, load_s=options.long * 60)
    folder = Path(tempfile.mkdtemp(prefix="mcpwrap-bench-"))
    try:
        variants, skipped = _ready(options, folder)
        if not variants:
            return 1
        results = Results()
        run = Run(variants, plan, options.era, results, folder)
        described = machine.describe()
        measure(run, options.steps)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    names = {key: " ".join(filter(None, (variant.name, variant.version))) for key, variant in variants.items()}
    _print(described, results, names, skipped, options)
    written = {
        "version": 1,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": described,
        "options": {"quick": options.quick, "era": options.era, "server_json": options.wire}
        | {name: getattr(plan, name) for name in plan.__slots__},
        "variants": {key: {"name": v.name, "version": v.version} for key, v in variants.items()},
        "skipped": skipped,
        "metrics": results.as_dict(),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    tell(f"written to {options.json}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    parser.add_argument("--quick", action="store_true", help="half a minute, rough numbers")
    parser.add_argument("--rounds", type=int, help="rounds of the traffic step")
    parser.add_argument("--starts", type=int, help="starts of each variant")
    parser.add_argument("--long", type=float, metavar="MINUTES", help="sustained load for so long, each variant")
    parser.add_argument("--only", action="append", choices=list(VARIANTS), default=[], help="variants, repeatable")
    parser.add_argument("--steps", action="append", choices=[name for name, _ in STEPS], default=[], help="steps, repeatable")
    parser.add_argument("--era", choices=["legacy", "modern"], default="legacy", help="protocol family")
    parser.add_argument("--wire", choices=["compact", "spaced"], default="compact", help="how the server under test writes JSON")
    parser.add_argument("--json", type=Path, default=RESULTS / f"{stamp}.json", help="where the JSON goes")
    parser.add_argument("--cache", type=Path, default=platformdirs.user_cache_path("mcpwrap-bench"), help="where peers are kept")
    return parser.parse_args(arguments)


def _ready(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Variant], dict[str, str]]:
    """The variants that can take part, and why the others can't."""
    server = server_command(spaced=options.wire == "spaced")
    variants: dict[str, Variant] = {}
    skipped: dict[str, str] = {}
    for name, prepare in VARIANTS.items():
        if name not in (options.only or ORDINARY):
            continue
        own = folder / name
        own.mkdir()
        try:
            variants[name] = prepare(Place(own, server, options.cache))
        except Unavailable as reason:
            skipped[name] = str(reason)
            tell(f"{name} skipped: {reason}")
    return variants, skipped


def _print(
    described: dict[str, object],
    results: Results,
    names: dict[str, str],
    skipped: dict[str, str],
    options: argparse.Namespace,
) -> None:
    out = [
        f"{described['cpu']}, {described['cores']} cores, {described['kernel']}, {described['python']}"
        f" · {options.era} protocol, {options.wire} JSON · medians; (compared with no shim in the same round)",
        *_busy(described),
        "",
        report.table(results, names),
        "",
        *report.targets(results),
        *(f"failed  {line}" for line in report.failures(results, names)),
        *(f"skipped {name}: {reason}" for name, reason in skipped.items()),
    ]
    sys.stdout.write("\n".join(out) + "\n")


def _busy(described: dict[str, object]) -> list[str]:
    """A warning when the machine had other work: that changes where the scheduler puts processes, too."""
    load, cores = described["load"], described["cores"]
    if isinstance(load, list) and isinstance(cores, int) and load[0] > cores / 4:
        return [f"the load was {load[0]} before the run: something else was at work, the numbers are rough"]
    return []


if __name__ == "__main__":
    sys.exit(main())
