# The kernels' checks on the emulator, under the sanitizers (as .ci/sanitize builds them): indices, barriers, order of sums.
if ! command -v g++ > /dev/null || ! command -v cmake > /dev/null; then row "kernels emulated, sanitized" "not here" "needs cmake and g++"
elif ! { cmake -S "$here/native" -B "$here/build/sanitize" -DLORIKEET_SANITIZE=ON && nice cmake --build "$here/build/sanitize" --parallel "$(nproc)" --target cuda-emulated
  } > "$work/emulated-build.log" 2>&1; then row "kernels emulated, sanitized" FAILED "build: $(grep -m1 'error' "$work/emulated-build.log") ($work/emulated-build.log)"
# Fibers have stacks of their own, which that option would take for returned ones.
elif ASAN_OPTIONS=detect_stack_use_after_return=0 nice "$here/build/sanitize/cuda-emulated" > "$work/emulated.log" 2>&1; then row "kernels emulated, sanitized" ok "$(tail -1 "$work/emulated.log")"
else row "kernels emulated, sanitized" FAILED "$(grep -m1 'ERROR\|runtime error\|FAILED' "$work/emulated.log") ($work/emulated.log)"; fi

# The spike on the addon whose CUDA engine runs on the emulator: uploads, ops, graphs by shape, sampling.
if ! command -v node > /dev/null || [ ! -d "$here/node_modules" ]; then row "spike, emulated" "not here" "needs the checkout and node"
elif ! node "$here/native/build.mjs" --target lorikeet-emulated > "$work/emulated-addon.log" 2>&1; then row "spike, emulated" FAILED "build: $work/emulated-addon.log"
elif device=cpu needs_server "spike, emulated" && device=cpu make_model tiny --shape tiny --adapters 8 --ranks 16 --distinct 4; then
  device=cuda LORIKEET_ADDON=$here/build/emulated/lorikeet.node run_node "spike, emulated" 900 spike --emulated yes --timeout 300 \
    --model "$models/tiny/base" --adapters "$models/tiny/adapters"
fi
