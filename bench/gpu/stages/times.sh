# Each kernel's time against its bytes at this machine's measured bandwidth, and the peers that Python has here (vLLM, SGLang, Punica).
if [ -z "$gpu" ]; then row "kernel times" "not here" "no GPU"
elif [ -z "$nvcc" ]; then row "kernel times" "not here" "no nvcc"
else
  if measure_bandwidth; then row "memory bandwidth" ok "$(cat "$work/bandwidth.txt")"; else row "memory bandwidth" FAILED "$work/bandwidth.log"; fi
  if [ ! -f "$here/bench/gpu/kernels/time.cu" ]; then row "kernel times" "not here" "no bench/gpu/kernels/time.cu in this checkout"
  elif ! "$nvcc" -std=c++17 -O3 $(arch_flags) -I"$here/native" -I"$here/test/cuda" "$here"/bench/gpu/kernels/time.cu "$here"/native/kernels/cuda/*.c[cu] \
    -o "$work/kernel-times" > "$work/times-build.log" 2>&1; then row "kernel times" FAILED "build: $work/times-build.log"
  elif timeout 200 "$work/kernel-times" --json "$results/times.json" | tee "$work/times.log"; then row "kernel times" ok "$(tail -1 "$work/times.log")"
  else row "kernel times" FAILED "$(tail -1 "$work/times.log")"; fi
  if timeout 200 python3 "$here/bench/gpu/kernels/peers.py" --json "$results/peers.json" 2>&1 | tee "$work/peers.log"; then row "peers' kernels" ok "$(tail -1 "$work/peers.log")"
  else row "peers' kernels" "not here" "$(tail -1 "$work/peers.log" | cut -c1-140)"; fi
fi
