"""The yardstick: Hugging Face transformers and PEFT on the same device, model and adapters as ours.

    python3 bench/gpu/hf_peft.py --model DIR --adapters DIR --sets attention-r16,all-r16 --rows 32 --prompt 64 --new 64 --json FILE

For each set of adapters (make_model.py's prefixes): mixed, one batch of `rows` prompts, each with an adapter of its own (`adapter_names`), PEFT's only way to
mix; in turn, one prompt after the other, each under its adapter (`set_adapter`), as a server without mixing has to; of `--in-turn` adapters, as a rate. Also the
base alone in one batch. Greedy, KV cache, no HTTP, median of `--rounds` after a short run to warm up: PEFT at its best. Prints a line each; FILE gets tokens a second.
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
parser.add_argument("--sets", default="attention-r16,all-r16")
parser.add_argument("--rows", type=int, default=32)
parser.add_argument("--prompt", type=int, default=64)
parser.add_argument("--new", type=int, default=64)
parser.add_argument("--in-turn", type=int, default=4)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--device", default="cuda")
parser.add_argument("--dtype", default="bfloat16")
parser.add_argument("--json", required=True)
options = parser.parse_args()

sets = {}
for prefix in options.sets.split(","):
    names = sorted(name for name in os.listdir(options.adapters) if name.startswith(prefix + "-"))[: options.rows]
    if len(names) < options.rows:
        raise SystemExit(f"{options.adapters} holds {len(names)} adapters {prefix}; {options.rows} are needed")
    sets[prefix.split("-")[0]] = names
base = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype), device_map=options.device).eval()
base.generation_config.eos_token_id = None  # every sequence runs to its length
base.generation_config.pad_token_id = 0
prompts = torch.randint(10, base.config.vocab_size, (options.rows, options.prompt), generator=torch.Generator().manual_seed(7)).to(options.device)


@torch.no_grad()
def generate(model, ids, new, **extra):
    """Seconds of one generate call, device and all."""
    if options.device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=new, max_new_tokens=new, **extra)
    if options.device == "cuda":
        torch.cuda.synchronize()
    assert out.shape == (ids.shape[0], options.prompt + new)
    return time.perf_counter() - started


def speed(model, ids, rounds=options.rounds, **extra):
    """Tokens a second."""
    generate(model, ids, 4, **extra)
    return ids.shape[0] * options.new / statistics.median(generate(model, ids, options.new, **extra) for _ in range(rounds))


def measure(names):
    started = time.perf_counter()
    model = PeftModel.from_pretrained(base, os.path.join(options.adapters, names[0]), adapter_name=names[0], autocast_adapter_dtype=False)
    for name in names[1:]:
        model.load_adapter(os.path.join(options.adapters, name), adapter_name=name, autocast_adapter_dtype=False)
    model.eval()
    print(f"{len(names)} adapters loaded in {time.perf_counter() - started:.1f} s", flush=True)
    found = {"mixed": speed(model, prompts, adapter_names=names)}
    seconds = 0
    for i, name in enumerate(names[: options.in_turn]):
        model.set_adapter(name)
        seconds += generate(model, prompts[i : i + 1], options.new)
    found["in_turn"] = options.in_turn * options.new / seconds
    model.unload()  # the base without adapters again
    return found


result = {**vars(options), "versions": f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}", "tokens_per_s": {}}
result["tokens_per_s"]["base"] = speed(base, prompts)
for modules, names in sets.items():
    result["tokens_per_s"][modules] = measure(names)
    with open(options.json, "w") as file:  # a run that is cut short keeps what it has
        json.dump(result, file)
    print(modules, ", ".join(f"{how} {value:.1f}" for how, value in result["tokens_per_s"][modules].items()), "tokens/s", flush=True)
print("base", round(result["tokens_per_s"]["base"], 1), "tokens/s", result["versions"])
