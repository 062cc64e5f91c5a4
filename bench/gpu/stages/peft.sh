# The yardstick in torch on the same device: HF + PEFT with 32 adapters, mixed and in turn.
if needs_gpu "HF + PEFT"; then
  if [ "$device" = cpu ]; then of=tiny; count=8; numbers=(--rows 8 --prompt 16 --new 8 --in-turn 2 --rounds 1 --dtype float32)
  else of=llama-8b; count=32; numbers=(--rows 32 --prompt 64 --new 64 --rounds 2); fi
  if make_model $of --shape $of --adapters $count --ranks 16 --distinct 4 --modules attention && make_model $of --shape $of --adapters $count --ranks 16 --distinct 4; then
    limit=$(time_left 300); timeout "$limit" python3 "$here/bench/gpu/hf_peft.py" --model "$models/$of/base" --adapters "$models/$of/adapters" --device "$device" "${numbers[@]}" \
      --json "$results/peft.json" > "$work/hf_peft.log" 2>&1
    code=$?
    if [ $code = 0 ]; then row "HF + PEFT" ok "$(grep tokens/s "$work/hf_peft.log" | paste -sd';')"
    elif [ $code = 124 ] && [ -s "$results/peft.json" ]; then row "HF + PEFT" MISS "not done after $limit s; $(grep tokens/s "$work/hf_peft.log" | paste -sd';')"
    else row "HF + PEFT" FAILED "$(grep . "$work/hf_peft.log" | tail -1 | cut -c1-160)"; fi
  fi
fi
