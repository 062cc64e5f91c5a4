# The kernels on the GPU against float64: five mixes, ranks 1 to 256, both types, poisoned buffers; again under compute-sanitizer.
if [ -z "$gpu" ]; then row "kernels against float64" "not here" "no GPU"
elif [ -z "$nvcc" ]; then row "kernels against float64" "not here" "no nvcc"
else
  mkdir -p "$work/gpu-objects"
  export nvcc work here; flags=$(arch_flags); export flags
  ls "$here"/test/cuda/check.cu "$here"/native/kernels/cuda/*.c[cu] | xargs -P "$(nproc)" -I{} sh -c '
    nice "$nvcc" -std=c++17 -O3 $flags -I"$here/native" -I"$here/test/cuda" -c {} -o "$work/gpu-objects/$(basename {}).o"' > "$work/kernels-build.log" 2>&1 &&
    "$nvcc" $flags "$work"/gpu-objects/*.o -o "$work/cuda-check" >> "$work/kernels-build.log" 2>&1 || row "kernels against float64" FAILED "build: $work/kernels-build.log"
  if [ -x "$work/cuda-check" ]; then
    if timeout 200 "$work/cuda-check" | tee "$work/kernels.log"; then row "kernels against float64" ok "$(tail -1 "$work/kernels.log")"
    else row "kernels against float64" FAILED "$(tail -1 "$work/kernels.log")"; fi
    if command -v compute-sanitizer > /dev/null; then
      for tool in memcheck racecheck; do
        if timeout 120 compute-sanitizer --tool $tool --error-exitcode 9 "$work/cuda-check" --quick > "$work/$tool.log" 2>&1; then row "compute-sanitizer $tool" ok ""
        elif [ $? = 124 ]; then row "compute-sanitizer $tool" MISS "not done after 120 s; nothing found so far"
        else row "compute-sanitizer $tool" FAILED "$work/$tool.log"; fi
      done
    fi
  fi
fi
