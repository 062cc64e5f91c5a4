"""
Python clients as their makers publish them, against a running server: `python run.py URL KEY`. Each says ok, FAIL with its error, or skip where pip could not install it.
What a model says is its own business: looked at is that the client understands the answer. Exit code 1 when one fails.
"""

import importlib
import importlib.util
import sys
import traceback

from setting import CHECKS

for name in ("openai_checks", "anthropic_checks", "langchain_checks", "lm_eval_checks", "other_checks"):
    importlib.import_module(name)

only = sys.argv[3:]
counts = {"passed": 0, "failed": 0, "skipped": 0}
for distribution, module, function in CHECKS:
    name = f"{distribution}: {function.__name__.replace('_', ' ')}"
    if only and not any(word in name for word in only):
        continue
    if importlib.util.find_spec(module) is None:
        counts["skipped"] += 1
        print(f"skip  {name}: pip cannot install {distribution}", flush=True)
        continue
    try:
        function()
        counts["passed"] += 1
        print(f"ok    {name}", flush=True)
    except Exception as error:
        counts["failed"] += 1
        print(f"FAIL  {name}: {type(error).__name__}: {str(error)[:300]}")
        traceback.print_exc(limit=-3, file=sys.stdout)
print("Python clients: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
sys.exit(1 if counts["failed"] else 0)
