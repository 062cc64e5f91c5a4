"""HF transformers + PEFT's embeddings of texts on many adapters: the peer of bench/embeddings.ts. Answers one JSON line per JSON line of standard input.

    python3 peft_embed.py --model DIR --adapters DIR --names a00,a01 --threads 2

Each line {"prompts": [[ids…], …], "adapters": [name, …], "mixed": bool} computes the last hidden state of each prompt's last token in float32, without the language-model head and without HTTP:
mixed as one batch (`adapter_names`), else as a batch for each adapter in turn. Answers {"seconds": …, "tokens": …, "first": [the first vector's first elements]}.
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
options = options.parse_args()
torch.set_num_threads(options.threads)
names = options.names.split(",")

base = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
model = PeftModel.from_pretrained(base, os.path.join(options.adapters, names[0]), adapter_name=names[0])
for name in names[1:]: model.load_adapter(os.path.join(options.adapters, name), adapter_name=name)
model.eval()
backbone = model.get_base_model().model
print(json.dumps({"ready": True, "versions": f"torch {torch.__version__}"}), flush=True)


def last(ids):
    return backbone(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).last_hidden_state[:, -1]


for line in sys.stdin:
    job = json.loads(line)
    ids, wanted = torch.tensor(job["prompts"]), job["adapters"]
    started = time.perf_counter()
    with torch.no_grad():
        if job["mixed"]:
            with model.base_model._enable_peft_forward_hooks(adapter_names=wanted): vectors = last(ids)
        else:
            vectors = torch.empty(len(ids), backbone.config.hidden_size)
            for name in dict.fromkeys(wanted):
                rows = [i for i, one in enumerate(wanted) if one == name]
                model.set_adapter(name)
                vectors[rows] = last(ids[rows])
        vectors = torch.nn.functional.normalize(vectors, dim=-1)
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "tokens": ids.numel(), "first": vectors[0, :8].tolist()}), flush=True)
