"""The table's line on the server against HF + PEFT: python3 ratio.py SERVE_JSON PEFT_JSON DEVICE. Fails where the two were not measured alike."""
import json
import sys

with open(sys.argv[1]) as serve, open(sys.argv[2]) as peft:
    ours, theirs, device = json.load(serve)["tokens_per_s"], json.load(peft), sys.argv[3]
alike = ["rows", "prompt", "new"]
if [ours[key] for key in alike] != [theirs[key] for key in alike] or not ours["device"] == theirs["device"] == device:
    raise SystemExit("the server and PEFT were measured with other numbers")
mixed, in_turn = (ours["mixed"] / theirs[f"{kind}_tokens_per_s"] for kind in ("mixed", "in_turn"))
status = "ok" if mixed >= 30 or device == "cpu" else "MISS"
print("server against HF + PEFT", status, f"{mixed:.1f} × its mixed batch (target ≥ 30 ×), {in_turn:.1f} × in turn" + ("; on the CPU: no target" if device == "cpu" else ""), sep="\t")
