# Throughput over HTTP: 32 clients on 32 adapters of the 8B shape, on q, k, v, o and on all seven projections; targets.py sets it against HF + PEFT.
if needs_gpu "server throughput" && needs_server "server throughput"; then
  if [ "$device" = cpu ]; then of=tiny; count=8; numbers=(--rows 8 --prompt 16 --new 8 --rounds 1); else of=llama-8b; count=32; numbers=(); fi
  make_model $of --shape $of --adapters $count --ranks 16 --distinct 4 --modules attention && make_model $of --shape $of --adapters $count --ranks 16 --distinct 4 &&
    run_node "server throughput" 200 serve --model "$models/$of/base" --adapters "$models/$of/adapters" "${numbers[@]}"
fi
