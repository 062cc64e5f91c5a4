# S-LoRA's workload: Llama 7B's shape, rank 8 on q, k, v, o, 2,000 adapters and, for what that costs, 5. GPU_CHECK_SLORA_ADAPTERS says how many otherwise,
# GPU_CHECK_SLORA_SECONDS for how long requests arrive.
if needs_gpu "S-LoRA's workload" && needs_server "S-LoRA's workload"; then
  if [ "$device" = cpu ]; then of=tiny; count=20; numbers=(--rate 20 --duration 3 --lengths 4,40); weights=(--ranks 8,4)
  else of=llama-7b; count=${GPU_CHECK_SLORA_ADAPTERS:-2000}; numbers=(--rate 10 --duration "${GPU_CHECK_SLORA_SECONDS:-60}"); weights=(--ranks 8 --dtype float16); fi
  python3 "$here/bench/slora_trace.py" "$work/slora-many.json" --adapters "$count" "${numbers[@]}" &&
    python3 "$here/bench/slora_trace.py" "$work/slora-few.json" --adapters 5 "${numbers[@]}" &&
    make_model $of --shape $of --adapters "$count" "${weights[@]}" --modules attention --distinct 8 --into slora &&
    run_node "S-LoRA's workload" 540 slora --model "$models/$of/base" --adapters "$models/$of/slora" --traces "$work/slora-many.json,$work/slora-few.json"
fi
