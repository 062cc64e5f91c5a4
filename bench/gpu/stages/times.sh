# Each kernel's time against its bytes at this machine's measured bandwidth.
if [ -z "$gpu" ]; then row "kernel times" "not here" "no GPU"
elif ! needs_programs; then row "kernel times" FAILED "no program: $(tail -1 "$work/programs.log")"
else
  if measure_bandwidth; then row "memory bandwidth" ok "$(cat "$work/bandwidth.txt")"; else row "memory bandwidth" FAILED "$work/bandwidth.log"; fi
  if timeout "$(time_left 200)" "$programs/kernel-times" --json "$results/times.json" | tee "$work/times.log"; then row "kernel times" ok "$(tail -1 "$work/times.log")"
  else row "kernel times" FAILED "$(tail -1 "$work/times.log")"; fi
fi
