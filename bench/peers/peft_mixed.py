"""HF PEFT's mixed batch (`adapter_names`): the peer of bench/serve.ts. Answers one JSON line per JSON line of standard input.

    python3 peft_mixed.py --model DIR --adapters DIR --names a00,a01 --threads 2 --dtype float32

Each line {"mode": "base" | "lora", "prompts": [[ids…], …], "adapters": [name, …], "new": N} is one `generate` of the whole batch, greedy, with the KV cache, in one
process and without HTTP: PEFT at its best. "base" takes the adapters' layers as PEFT leaves them where none is active. Answers {"seconds": …, "tokens": …}.
"""
import argparse, json, os, sys, time, warnings

warnings.filterwarnings("ignore")
os.environ["TQDM_DISABLE"] = "1"
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

options = argparse.ArgumentParser()
options.add_argument("--model", required=True)
options.add_argument("--adapters", required=True)
options.add_argument("--names", required=True)
options.add_argument("--threads", type=int, default=2)
options.add_argument("--dtype", default="float32")
options = options.parse_args()
torch.set_num_threads(options.threads)
names = options.names.split(",")

base = AutoModelForCausalLM.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).eval()
base.generation_config.eos_token_id = None  # every sequence runs to its length, as ignore_eos does
base.generation_config.pad_token_id = 0
model = PeftModel.from_pretrained(base, os.path.join(options.adapters, names[0]), adapter_name=names[0])
for name in names[1:]: model.load_adapter(os.path.join(options.adapters, name), adapter_name=name)
model.eval()
print(json.dumps({"ready": True, "versions": f"torch {torch.__version__}"}), flush=True)

for line in sys.stdin:
    job = json.loads(line)
    ids = torch.tensor(job["prompts"])
    started = time.perf_counter()
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), adapter_names=job["adapters"] if job["mode"] == "lora" else ["__base__"] * len(ids), do_sample=False,
                             min_new_tokens=job["new"], max_new_tokens=job["new"])
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "tokens": int((out.shape[1] - ids.shape[1]) * out.shape[0])}), flush=True)
