# The kernels on the GPU against float64: five mixes, ranks 1 to 256, both types, poisoned buffers.
if [ -z "$gpu" ]; then row "kernels against float64" "not here" "no GPU"
elif ! needs_programs; then row "kernels against float64" FAILED "no program: $(tail -1 "$work/programs.log")"
elif timeout "$(time_left 240)" "$programs/cuda-check" | tee "$work/kernels.log"; then row "kernels against float64" ok "$(tail -1 "$work/kernels.log")"
else row "kernels against float64" FAILED "$(grep -m1 FAILED "$work/kernels.log" || echo 'ended early') ($(tail -1 "$work/kernels.log"))"; fi
