# Decode steps of the 8B shape at 1, 8, 32 and 128 rows, base and as many adapters of rank 16 and 64, against the weights' bytes; a cold adapter's first token.
if needs_gpu "decode step" && needs_server "decode step"; then
  if [ "$device" = cpu ]; then
    make_model tiny --shape tiny --adapters 8 --rank 16 --distinct 4 && make_model tiny --shape tiny --adapters 8 --rank 64 &&
      run_node "decode step" step --model "$models/tiny/base" --adapters "$models/tiny/r16,$models/tiny/r64" --rows 1,4,8 --context 48 --new 16 --rounds 2 --cold 3
  else
    measure_bandwidth || row "memory bandwidth" FAILED "$work/bandwidth.log"
    make_model llama-8b --shape llama-8b --adapters 32 --rank 16 --distinct 4 && make_model llama-8b --shape llama-8b --adapters 2 --rank 64 &&
      run_node "decode step" step --model "$models/llama-8b/base" --adapters "$models/llama-8b/r16,$models/llama-8b/r64" --packed 2 \
        --bandwidth "$results/bandwidth.json"
  fi
fi
