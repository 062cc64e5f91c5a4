# Throughput over HTTP: 32 clients on 32 adapters of the 8B shape; the ratio to HF + PEFT where that has been measured already.
if needs_gpu "server throughput" && needs_server "server throughput"; then
  if [ "$device" = cpu ]; then
    make_model tiny --shape tiny --adapters 8 --rank 16 --distinct 4 &&
      run_node "server throughput" serve --model "$models/tiny/base" --adapters "$models/tiny/r16" --rows 8 --prompt 16 --new 8 --rounds 1
  else
    make_model llama-8b --shape llama-8b --adapters 32 --rank 16 --distinct 4 &&
      run_node "server throughput" serve --model "$models/llama-8b/base" --adapters "$models/llama-8b/r16"
  fi
  compare_with_peft
fi
