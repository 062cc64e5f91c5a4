"""The targets of issue 3 as docs/benchmarks.md has them, from what the stages left in a folder: python3 targets.py RESULTS

Each stage's .json may hold {"targets": {KEY: {"value": words, "met": true, false or null}}}; null: there is no target, or this device has none. The server against
HF + PEFT is worked out here, from two stages. A line that has no value gets its stage's reason: what its .tsv says, or that it has not run.
"""
import json
import os
import sys

# Key, stage, what, target.
LINES = [
    ("kernels", "times", "LoRA kernels (a layer's seven products), 32 or more rows of different rank-16 adapters", "≥ 80 % of the bytes floor"),
    ("base", "step", "decode step of the 8B shape in bfloat16, 32 rows, base alone", "≤ 1.25 × its weights' bytes"),
    ("adapters", "step", "the same with 32 different rank-16 adapters on q, k, v, o", "≤ 1.10 × base alone"),
    ("adapters-all", "step", "… on all seven projections (more bytes than the target allows)", "–"),
    ("sampling", "step", "sampling, 32 rows", "≤ 3 % of the step"),
    ("peft", "peft", "server, 32 clients on 32 adapters on q, k, v, o, against HF + PEFT's mixed batch", "≥ 30 ×"),
    ("peft-all", "peft", "… on all seven projections", "–"),
    ("cold", "step", "first token of a cold rank-16 adapter (all seven projections), its bytes in host memory", "≤ 10 ms"),
    ("slora", "slora", "S-LoRA's workload, 7B shape (S-LoRA on an A100-80: 7.61 requests/s, 0.945 of its throughput with 5 adapters)", "–"),
]


def read(folder, stage):
    try:
        with open(os.path.join(folder, f"{stage}.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def against_peft(folder):
    """The server's tokens a second over PEFT's, where both were measured alike."""
    serve, peft = read(folder, "serve"), read(folder, "peft")
    found = {}
    for key, modules in (("peft", "attention"), ("peft-all", "all")):
        ours, theirs = serve.get(f"tokens_per_s {modules}"), peft.get("tokens_per_s", {}).get(modules)
        if not ours or not theirs or any(serve["work"][name] != peft[name] for name in ("rows", "prompt", "new", "device")):
            continue
        ratio, in_turn = ours["mixed"] / theirs["mixed"], ours["mixed"] / theirs["in_turn"]
        judged = key == "peft" and peft["device"] == "cuda"
        small = "" if peft["device"] == "cuda" else "in small on the CPU: "
        found[key] = {"value": f"{small}{ratio:.1f} × ({ours['mixed']:.0f} against {theirs['mixed']:.0f} tokens/s; one adapter after the other {in_turn:.0f} ×)", "met": ratio >= 30 if judged else None}
    return found


def reason(folder, stage):
    try:
        with open(os.path.join(folder, f"{stage}.tsv")) as file:
            for line in file:
                name, status, detail = (line.rstrip("\n") + "\t\t").split("\t")[:3]
                if status in ("not here", "FAILED"):
                    return f"not measured ({detail if status == 'not here' else f'failed: {name}'})"
    except FileNotFoundError:
        pass
    return "not measured"


folder = sys.argv[1]
values = against_peft(folder)
for stage in {stage for _, stage, _, _ in LINES}:
    values |= read(folder, stage).get("targets", {})
print("| what | target | measured |\n|---|---|---|")
for key, stage, what, target in LINES:
    value = values.get(key)
    verdict = {True: "**met**: ", False: "**missed**: ", None: ""}[value["met"]] if value else ""
    print(f"| {what} | {target} | {verdict}{value['value'] if value else reason(folder, stage)} |")
