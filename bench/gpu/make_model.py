"""Makes a Llama with random weights and adapters for it, on the machine that measures: nothing of 16 GB has to travel.

    python3 bench/gpu/make_model.py OUT --shape llama-8b                                   the base, in OUT/base
    … --adapters 32 --ranks 16 --modules attention                                         adapters too: OUT/adapters/attention-r16-0000, …
    … --adapters 2000 --ranks 64,32,16,8 --modules attention --distinct 8 --into slora     S-LoRA's: ranks in turns, in OUT/slora

Weights are normal with deviation 1/sqrt(inputs), the two projections that feed the residual stream smaller by sqrt(2 layers) as GPT-2 does it, so that
activations stay near 1 and logits are sane. `--distinct` files of weights per rank are shared by hard links among the adapters; each still has an
adapter_config.json of its own (another lora_alpha), so each has another digest, other rows in memory and other outputs. What is there already is kept. Shards
are written by threads while the next is drawn.
"""
import argparse
import json
import math
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import torch
from safetensors.torch import save_file

LLAMA3_ROPE = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
SHAPES = {
    # Llama 3.1 8B's and Llama 1/2 7B's config.json.
    "llama-8b": dict(hidden=4096, layers=32, heads=32, kv_heads=8, feed_forward=14336, vocabulary=128256, positions=131072, theta=500000.0, rope=LLAMA3_ROPE),
    "llama-7b": dict(hidden=4096, layers=32, heads=32, kv_heads=32, feed_forward=11008, vocabulary=32000, positions=2048, theta=10000.0, rope=None),
    # Small, for trying the scripts on a CPU.
    "tiny": dict(hidden=256, layers=4, heads=4, kv_heads=2, feed_forward=512, vocabulary=4096, positions=2048, theta=10000.0, rope=None),
}
MODULES = {
    "attention": ["q_proj", "k_proj", "v_proj", "o_proj"],
    "all": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../deploy/demo-model/base")


def projections(shape):
    """(name below the layer, inputs, outputs) of the seven linear layers."""
    hidden, kv, ff = shape["hidden"], shape["kv_heads"] * shape["hidden"] // shape["heads"], shape["feed_forward"]
    return [
        ("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", hidden, kv), ("self_attn.v_proj", hidden, kv), ("self_attn.o_proj", hidden, hidden),
        ("mlp.gate_proj", hidden, ff), ("mlp.up_proj", hidden, ff), ("mlp.down_proj", ff, hidden),
    ]


def normal(rows, columns, deviation, options):
    return (torch.randn(rows, columns, device=options.device, dtype=options.dtype) * deviation).cpu()


def make_base(folder, shape, options):
    if os.path.exists(os.path.join(folder, "config.json")):
        return
    os.makedirs(folder, exist_ok=True)
    layers, hidden, vocabulary = shape["layers"], shape["hidden"], shape["vocabulary"]
    per_shard = max(1, math.ceil(layers / 16))
    shards = math.ceil(layers / per_shard) + 1
    index, total = {}, 0

    writers = ThreadPoolExecutor(4)
    writing = []

    def write(number, tensors):
        nonlocal total
        name = f"model-{number:05d}-of-{shards:05d}.safetensors"
        for key, tensor in tensors.items():
            index[key] = name
            total += tensor.numel() * tensor.element_size()
        if len(writing) >= 6:  # as many shards as host memory should hold
            writing.pop(0).result()
        writing.append(writers.submit(save_file, tensors, os.path.join(folder, name), metadata={"format": "pt"}))

    ones = lambda: torch.ones(hidden, dtype=options.dtype)
    for shard in range(shards - 1):
        tensors = {}
        for layer in range(shard * per_shard, min(layers, (shard + 1) * per_shard)):
            at = f"model.layers.{layer}."
            tensors[at + "input_layernorm.weight"] = ones()
            tensors[at + "post_attention_layernorm.weight"] = ones()
            for name, inputs, outputs in projections(shape):
                residual = name.endswith(("o_proj", "down_proj"))
                tensors[f"{at}{name}.weight"] = normal(outputs, inputs, inputs**-0.5 / (math.sqrt(2 * layers) if residual else 1), options)
        write(shard + 1, tensors)
    write(shards, {
        "model.embed_tokens.weight": normal(vocabulary, hidden, 0.2, options),
        "model.norm.weight": ones(),
        # Logits of deviation 2: neither flat nor certain.
        "lm_head.weight": normal(vocabulary, hidden, 2 * hidden**-0.5, options),
    })
    for one in writing:
        one.result()
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {"total_size": total}, "weight_map": index}, file)
    # The demo's tokenizer, its vocabulary filled up with words that no text contains, so that every id has a name.
    with open(os.path.join(DEMO, "tokenizer.json")) as file:
        tokenizer = json.load(file)
    vocab = tokenizer["model"]["vocab"]
    taken = set(vocab.values()) | {added["id"] for added in tokenizer.get("added_tokens", [])}
    for token in range(vocabulary):
        if token not in taken:
            vocab[f"Ġfiller{token}"] = token
    with open(os.path.join(folder, "tokenizer.json"), "w") as file:
        json.dump(tokenizer, file)
    shutil.copy(os.path.join(DEMO, "tokenizer_config.json"), folder)
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=vocabulary, hidden_size=hidden, intermediate_size=shape["feed_forward"],
        num_hidden_layers=layers, num_attention_heads=shape["heads"], num_key_value_heads=shape["kv_heads"], head_dim=hidden // shape["heads"],
        hidden_act="silu", max_position_embeddings=shape["positions"], rms_norm_eps=1e-5, rope_theta=shape["theta"], tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, torch_dtype=str(options.dtype).removeprefix("torch."),
    )
    if shape["rope"]:
        config["rope_scaling"] = shape["rope"]
    # Last: a folder with a config is a whole one.
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)


def make_weights(file, shape, rank, options):
    if os.path.exists(file):
        return
    os.makedirs(os.path.dirname(file), exist_ok=True)
    tensors = {}
    for layer in range(shape["layers"]):
        for name, inputs, outputs in projections(shape):
            if name.split(".")[1] in MODULES[options.modules]:
                at = f"base_model.model.model.layers.{layer}.{name}"
                tensors[at + ".lora_A.weight"] = normal(rank, inputs, inputs**-0.5, options)
                tensors[at + ".lora_B.weight"] = normal(outputs, rank, 0.2 * rank**-0.5, options)
    save_file(tensors, file + ".part", metadata={"format": "pt"})
    os.replace(file + ".part", file)


def make_adapters(folder, shape, options):
    """Adapter i has rank ranks[i mod len(ranks)]; their names sort as they are made."""
    ranks = [int(rank) for rank in options.ranks.split(",")]
    prefix = f"{options.modules}-r{'-'.join(map(str, ranks))}"
    for i in range(options.adapters):
        rank = ranks[i % len(ranks)]
        source = os.path.join(folder, ".weights", f"{options.modules}-r{rank}-{i // len(ranks) % (options.distinct or options.adapters)}.safetensors")
        make_weights(source, shape, rank, options)
        adapter = os.path.join(folder, f"{prefix}-{i:04d}")
        if os.path.exists(os.path.join(adapter, "adapter_config.json")):
            continue
        os.makedirs(adapter, exist_ok=True)
        weights = os.path.join(adapter, "adapter_model.safetensors")
        if not os.path.exists(weights):
            os.link(source, weights)
        config = dict(
            peft_type="LORA", task_type="CAUSAL_LM", base_model_name_or_path=options.shape, r=rank, lora_alpha=rank * (1 + i / 4096), lora_dropout=0.0,
            bias="none", inference_mode=True, init_lora_weights=True, target_modules=MODULES[options.modules],
        )
        with open(os.path.join(adapter, "adapter_config.json"), "w") as file:
            json.dump(config, file, indent=2)


parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("--shape", choices=SHAPES, default="llama-8b")
parser.add_argument("--dtype", default="bfloat16")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where the random numbers are drawn")
parser.add_argument("--adapters", type=int, default=0)
parser.add_argument("--ranks", default="16", help="one rank, or several that adapters take in turns")
parser.add_argument("--modules", choices=MODULES, default="all", help="attention: q, k, v and o, as S-LoRA; all: the seven linear layers")
parser.add_argument("--distinct", type=int, default=0, help="files of weights per rank; 0: each adapter its own")
parser.add_argument("--into", default="adapters", help="folder of the adapters below OUT")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
options.dtype = getattr(torch, options.dtype)
torch.manual_seed(options.seed)

started = time.perf_counter()
make_base(os.path.join(options.out, "base"), SHAPES[options.shape], options)
made = f"base {time.perf_counter() - started:.1f} s"
if options.adapters:
    started = time.perf_counter()
    torch.manual_seed(options.seed + 1 + sum(int(rank) for rank in options.ranks.split(",")))
    make_adapters(os.path.join(options.out, options.into), SHAPES[options.shape], options)
    made += f", {options.adapters} adapters {time.perf_counter() - started:.1f} s"
print(f"{options.out}: {made}")
