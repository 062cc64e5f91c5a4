"""The yardstick: Hugging Face transformers and PEFT on the same device, model and adapters as ours.

    python3 bench/gpu/hf_peft.py --model DIR --adapters DIR --rows 32 --prompt 64 --new 64 --json FILE

(i) mixed: one batch of `rows` prompts, each with an adapter of its own (`adapter_names`), PEFT's only way to mix; (ii) in turn: one prompt after the
other, each under its adapter (`set_adapter`), as a server without mixing has to; of `--in-turn` adapters, as a rate. Greedy, KV cache, no HTTP, median of
`--rounds` after one to warm up: PEFT at its best. Also the base alone in one batch. Prints a line each; FILE gets tokens a second.
"""
import argparse
import json
import os
import statistics
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import transformers
import peft
from peft import PeftModel
from transformers import AutoModelForCausalLM

transformers.utils.logging.set_verbosity_error()
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--adapters", required=True)
parser.add_argument("--rows", type=int, default=32)
parser.add_argument("--prompt", type=int, default=64)
parser.add_argument("--new", type=int, default=64)
parser.add_argument("--in-turn", type=int, default=4)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--device", default="cuda")
parser.add_argument("--dtype", default="bfloat16")
parser.add_argument("--json", required=True)
options = parser.parse_args()

names = sorted(name for name in os.listdir(options.adapters) if not name.startswith("."))[: options.rows]
if len(names) < options.rows:
    raise SystemExit(f"{options.adapters} holds {len(names)} adapters; {options.rows} are needed")
base = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).to(options.device).eval()
base.generation_config.eos_token_id = None  # every sequence runs to its length
base.generation_config.pad_token_id = 0
model = PeftModel.from_pretrained(base, os.path.join(options.adapters, names[0]), adapter_name=names[0], autocast_adapter_dtype=False)
for name in names[1:]:
    model.load_adapter(os.path.join(options.adapters, name), adapter_name=name, autocast_adapter_dtype=False)
model.eval()
prompts = torch.randint(10, base.config.vocab_size, (options.rows, options.prompt), generator=torch.Generator().manual_seed(7)).to(options.device)


@torch.no_grad()
def generate(ids, **extra):
    """Seconds of one generate call, device and all."""
    if options.device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=options.new, max_new_tokens=options.new, **extra)
    if options.device == "cuda":
        torch.cuda.synchronize()
    assert out.shape == (ids.shape[0], options.prompt + options.new)
    return time.perf_counter() - started


def measure(run, rounds):
    run()
    return statistics.median(run() for _ in range(rounds))


def in_turn():
    seconds = 0
    for i in range(options.in_turn):
        model.set_adapter(names[i])
        seconds += generate(prompts[i : i + 1])
    return seconds


def base_alone():
    with model.disable_adapter():
        return generate(prompts)


tokens = options.rows * options.new
result = {"versions": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"}
result["base_tokens_per_s"] = tokens / measure(base_alone, options.rounds)
result["in_turn_tokens_per_s"] = options.in_turn * options.new / measure(in_turn, 1)
result["mixed_tokens_per_s"] = tokens / measure(lambda: generate(prompts, adapter_names=names), options.rounds)
for what, speed in result.items():
    print(what, speed if isinstance(speed, str) else round(speed, 1))
with open(options.json, "w") as file:
    json.dump({**vars(options), **result}, file)
