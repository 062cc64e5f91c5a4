# The peers that Python has here, on the same shapes: PyTorch without a LoRA kernel, vLLM's, SGLang's, Punica's and S-LoRA's kernels. After `times`, whose numbers it divides by.
if [ -z "$gpu" ]; then
  if ! python3 -c "import torch" 2> /dev/null; then row "peers' kernels, dry" "not here" "no torch"
  elif python3 "$here/bench/gpu/kernels/peers.py" --dry > "$work/peers.log" 2>&1; then row "peers' kernels, dry" ok "$(tail -1 "$work/peers.log"); no GPU, so no times"
  else row "peers' kernels, dry" FAILED "$(tail -1 "$work/peers.log")"; fi
elif timeout "$(time_left 240)" python3 "$here/bench/gpu/kernels/peers.py" --seconds 100 --json "$results/peers.json" 2>&1 | tee "$work/peers.log"; then row "peers' kernels" ok "$(tail -1 "$work/peers.log")"
else row "peers' kernels" FAILED "$(tail -1 "$work/peers.log" | cut -c1-140)"; fi
