"""S-LoRA's synthetic workload (MLSys 2024, section 7.1), as its generator draws it, as JSON for slora.ts.

    python3 bench/slora_trace.py OUT --adapters 2000 --rate 10 --duration 120 [--alpha 1] [--cv 1] [--lengths 8,512]

Adapters by a power law (alpha 1 is uniform, smaller is more skewed), arrivals by one Gamma process of `rate` a second and coefficient of variation `cv`,
lengths of prompt and answer uniform. Seed 42, NumPy's legacy generator: with --adapters 200 --rate 2 --duration 300 the first rows are the paper's code's.
"""
import argparse
import json

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("out")
parser.add_argument("--adapters", type=int, default=2000)
parser.add_argument("--rate", type=float, default=10)
parser.add_argument("--duration", type=float, default=120)
parser.add_argument("--alpha", type=float, default=1)
parser.add_argument("--cv", type=float, default=1)
parser.add_argument("--lengths", default="8,512")
options = parser.parse_args()
low, high = (int(length) for length in options.lengths.split(","))

np.random.seed(42)
total = int(options.rate * options.duration)
adapter = (np.random.power(options.alpha, total) * options.adapters).astype(int)
prompt = np.random.randint(low, high, total)
output = np.random.randint(low, high, total)
arrival = np.cumsum(np.random.gamma(1 / options.cv**2, options.cv**2 / options.rate, total))
if options.adapters == 200 and (options.rate, options.duration, options.alpha, options.cv, options.lengths) == (2, 300, 1, 1, "8,512"):
    first = [list(adapter[:5]), list(prompt[:5]), list(output[:5]), [round(float(t), 4) for t in arrival[:5]]]
    known = [[74, 190, 146, 119, 31], [12, 473, 99, 177, 324], [410, 43, 292, 195, 89], [0.1598, 3.0856, 3.3633, 3.6635, 3.7529]]
    assert first == known, f"this NumPy draws otherwise than S-LoRA's: {first}"
requests = [dict(adapter=int(a), prompt=int(p), output=int(o), at=float(t)) for a, p, o, t in zip(adapter, prompt, output, arrival)]
with open(options.out, "w") as file:
    json.dump(dict(vars(options), requests=requests), file)
print(f"{options.out}: {total} requests, {len(set(adapter))} adapters, {prompt.sum() + output.sum()} tokens, {arrival[-1]:.0f} s")
