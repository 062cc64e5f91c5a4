# The one risk, smallest first: provider, custom ops, PagedAttention, capture, replay. On a small random model, against the CPU engine.
if needs_gpu "spike" && needs_server "spike" && make_model tiny --shape tiny --adapters 8 --ranks 16 --distinct 4; then
  run_node "spike" 400 spike --timeout 60 --model "$models/tiny/base" --adapters "$models/tiny/adapters"
  if [ "$device" = cuda ] && grep -q '^spike .*FAILED' "$results/spike.tsv" && command -v compute-sanitizer > /dev/null; then
    # What a fault on the device is: launches one by one, and each access watched.
    CUDA_LAUNCH_BLOCKING=1 timeout "$(time_left 150)" compute-sanitizer --tool memcheck --target-processes all node "$app/dist/bench/gpu/spike-run.js" --device cuda --dtype float16 \
      --capture no --model "$models/tiny/base" --adapters "$models/tiny/adapters" --out "$work/spike-run.json" > "$work/spike-memcheck.log" 2>&1
    grep -A 12 -m 2 '^========= \(Invalid\|Program hit\|Error\)' "$work/spike-memcheck.log"
    found=$(grep '^=========' "$work/spike-memcheck.log" | grep -v 'COMPUTE-SANITIZER\|0 errors' | head -2 | tr -d =)
    row "spike under compute-sanitizer" ok "${found:-no wrong access seen} ($work/spike-memcheck.log)"
  fi
fi
