# The one risk, smallest first: provider, custom ops, PagedAttention, capture, replay. On a small random model, against the CPU engine.
if needs_gpu "spike" && needs_server "spike" && make_model tiny --shape tiny --adapters 8 --rank 16 --distinct 4; then
  run_node "spike" spike --model "$models/tiny/base" --adapters "$models/tiny/r16"
fi
