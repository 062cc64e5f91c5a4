# Decode steps of the 8B shape at 1, 8, 32 and 128 rows, base and as many adapters of rank 16 and 64, on q, k, v, o and on all seven projections, against the bytes
# that each must read; a cold adapter's first token.
step_sets() { local sep="" rank modules; for rank in 64 16; do for modules in attention all; do printf '%s%s/adapters%s/%s-r%s' "$sep" "$models/$1" "${rank#16}" $modules $rank; sep=,; done; done; }
step_models() {
  local of=$1 count=$2 modules
  for modules in attention all; do
    make_model "$of" --shape "$of" --adapters "$count" --ranks 16 --distinct 4 --modules $modules && make_model "$of" --shape "$of" --adapters 2 --ranks 64 --modules $modules --into adapters64 || return 1
  done
}
if needs_gpu "decode step" && needs_server "decode step"; then
  if [ "$device" = cpu ]; then
    step_models tiny 8 && run_node "decode step" 400 step --model "$models/tiny/base" --sets "$(step_sets tiny)" --rows 8,1,4 --context 48 --new 16 --rounds 2 --cold 3
  else
    measure_bandwidth || row "memory bandwidth" FAILED "$(tail -1 "$work/bandwidth.log")"
    step_models llama-8b 32 && run_node "decode step" 400 step --model "$models/llama-8b/base" --sets "$(step_sets llama-8b)" --packed 2 --bandwidth "$results/bandwidth.json"
  fi
fi
