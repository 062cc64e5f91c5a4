"""Other ways to add many LoRA adapters, timed on the shapes of time.cu and set against its numbers.

    python3 peers.py [--json FILE] [--times FILE] [--quick]      on a GPU; --times: what kernel-times wrote (default: times.json beside FILE)
    python3 peers.py --dry                                       on the CPU, tiny and in float32: the yardsticks against float64, nothing timed

Always there: PyTorch without a LoRA kernel (yardsticks.py). Where installed: vLLM's and SGLang's Triton kernels, Punica's and S-LoRA's BGMV (rivals.py); a
rival that is not at hand is named with the reason and has no number. Every result is compared with float64 before it is timed. As in time.cu, steps are
captured in a CUDA graph (eager where that fails, marked with *), weights rotate through more than the cache holds, medians. Exit code 1: no GPU, or a
yardstick is wrong.
"""
import argparse
import json
import os
import statistics
import sys
import time

import torch
from cases import LAYER, TINY, Case, Work
from rivals import RIVALS
from yardsticks import YARDSTICKS


def off(ours, reference):
    """Relative distance; NaN stays NaN, which is never small."""
    return float((ours.double() - reference).norm() / reference.norm())


def time_steps(contestant, sets):
    """Microseconds a step, and whether a graph could be captured."""
    def all_steps():
        for i in range(sets):
            contestant.step(i)

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            all_steps()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            all_steps()
        run, captured = graph.replay, True
    except RuntimeError:
        torch.cuda.synchronize()
        run, captured = all_steps, False
    times = []
    for i in range(-3, 11):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        run()
        end.record()
        end.synchronize()
        if i >= 0:
            times.append(begin.elapsed_time(end) * 1000 / sets)
    return statistics.median(times), captured


def measure(kind, case, group, cache_bytes):
    """One contestant on one group: a record with `us`, or with the reason why there is no number."""
    record = {"name": kind.name, "op": group.name, "rows": case.rows, "rank": case.rank, "mix": case.mix}
    work = Work(case, group, "cuda", torch.float16, cache_bytes)
    try:
        contestant = kind(work)
        contestant.step(1)
        torch.cuda.synchronize()
        record["off"] = off(contestant.y, work.reference(1))
        if not record["off"] < 0.01:
            return record | {"why": f"wrong by {record['off']:.2g}"}
        us, captured = time_steps(contestant, work.sets)
        return record | {"us": us, "graph": captured, "sets": work.sets}
    except (ImportError, NotImplementedError) as error:
        return record | {"why": f"not at hand: {error}"}
    except Exception as error:  # another version's signature, a shape without a kernel, no memory: this contestant has no number, the others go on
        return record | {"why": f"fails: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"}


def dry():
    wrong = 0
    for case in (Case(1, 4, "distinct"), Case(9, 8, "distinct"), Case(9, 8, "identical"), Case(12, 4, "uniform"), Case(12, 4, "skewed")):
        for group in TINY:
            work = Work(case, group, "cpu", torch.float32, cache_bytes=1)
            for kind in YARDSTICKS:
                yardstick = kind(work)
                yardstick.step(1)
                distance = off(yardstick.y, work.reference(1))
                if not distance < 1e-5:
                    wrong += 1
                    print(f"{kind.name}, {case}, {group.name}: off by {distance}")
            for kind in RIVALS:
                try:
                    kind(work)
                except (ImportError, NotImplementedError) as error:
                    reason = f"{kind.name}: not at hand: {error}"
                    if case.rows == 1 and group is TINY[0]:
                        print(reason)
    print("dry: yardsticks agree with float64" if wrong == 0 else f"dry: {wrong} yardsticks are wrong")
    return 1 if wrong else 0


def own_times(path):
    """Best launch variant of each of kernel-times' measurements."""
    best = {}
    if not path or not os.path.exists(path):
        return best
    with open(path) as file:
        for r in json.load(file)["results"]:
            if r["dtype"] == "f16" and r["phase"] == "both" and not r["prefill"]:
                key = (r["ranks"], r["mix"], r["rows"], r["op"])
                best[key] = min(best.get(key, float("inf")), r["us"])
    return best


def row(case, op, records, own):
    """A line of the table, and the ratios to ours for the summary."""
    ours = own.get((str(case.rank), case.mix, case.rows, op))
    cells, ratios = [f"{case.rows:5} r{case.rank:<4}{case.mix:10}{op:8}", f"{ours:9.1f}" if ours else "        -"], {}
    for r in records:
        if "us" not in r:
            cells.append(f"{'-':>18}")
            continue
        ratio = r["us"] / ours if ours else None
        if ratio:
            ratios[r["name"]] = ratio
        cells.append(f"{r['us']:9.1f}{' ' if r['graph'] else '*'}{f'({ratio:.1f}x)' if ratio else '':>8}")
    return " ".join(cells), ratios


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--times")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=int, default=120, help="start no further case after this long; the cases come in order of value")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    if options.dry:
        return dry()
    if not torch.cuda.is_available():
        print("no CUDA device")
        return 1
    path = options.times or (os.path.join(os.path.dirname(options.json), "times.json") if options.json else None)
    own = own_times(path)
    cache_bytes = 3 * torch.cuda.get_device_properties(0).L2_cache_size
    cases = [Case(32, 16, "distinct"), Case(1, 16, "distinct"), Case(128, 16, "distinct"), Case(32, 16, "identical"), Case(32, 64, "distinct")]
    kinds = YARDSTICKS + RIVALS
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; microseconds, times ours; * without a CUDA graph")
    print(f"{'rows rank mix       op':28} {'ours':>9} " + " ".join(f"{kind.name:>18}" for kind in kinds))
    records, reasons, summary, started = [], {}, {}, time.monotonic()
    for case in cases[:2] if options.quick else cases:
        if time.monotonic() - started > options.seconds:
            print(f"{case}: left out, {options.seconds} s are over")
            continue
        whole = {"op": "layer", "rows": case.rows, "rank": case.rank, "mix": case.mix}
        totals = {kind.name: {"name": kind.name, "us": 0, "graph": True} | whole for kind in kinds}
        for group in LAYER:
            line = [measure(kind, case, group, cache_bytes) for kind in kinds]
            records += line
            for r in line:
                total = totals[r["name"]]
                if "us" in r and "us" in total:
                    total["us"] += r["us"]
                    total["graph"] &= r["graph"]
                else:
                    total.pop("us", None)
                if "why" in r:
                    reasons.setdefault(r["name"], r["why"])
            print(row(case, group.name, line, own)[0], flush=True)
            torch.cuda.empty_cache()
        text, ratios = row(case, "layer", totals.values(), own)
        records += totals.values()
        if case == cases[0]:
            summary = ratios or {name: None for name, total in totals.items() if "us" in total}
        print(text, flush=True)
        if options.json:
            with open(options.json, "w") as file:
                json.dump({"device": torch.cuda.get_device_name(), "torch": torch.__version__, "results": records, "reasons": reasons}, file, indent=1)
    for name, why in reasons.items():
        print(f"{name}: {why}")
    wrong = [kind.name for kind in YARDSTICKS if reasons.get(kind.name, "").startswith("wrong")]
    measured = ", ".join(f"{name} {ratio:.1f}x" if ratio else name for name, ratio in summary.items())
    missing = ", ".join(name for name, why in reasons.items() if why.startswith("not at hand") and name not in summary)
    print(f"layer, {cases[0]}, times ours: {measured or 'nothing ran'}" + (f"; not at hand: {missing}" if missing else ""))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
