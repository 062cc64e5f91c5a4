# The kernels' checks on the emulator, under the address sanitizer: indices, barriers, order of sums.
if command -v g++ > /dev/null; then
  mkdir -p "$work/emulated"
  newest=$(ls -t "$here"/native/kernels/cuda/*.{h,cuh} "$here"/test/cuda/*.h "$here/native/kernels/kernels.h" 2> /dev/null | head -1)
  export work here newest
  if ls "$here"/native/kernels/cuda/*.c[cu] "$here"/test/cuda/*.cc | xargs -P "$(nproc)" -I{} sh -c '
    object=$work/emulated/$(basename {}).o
    [ "$object" -nt {} ] && [ "$object" -nt "$newest" ] || nice g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
      -I"$here/native" -I"$here/test/cuda" -x c++ -c {} -o "$object"' > "$work/emulated-build.log" 2>&1 &&
    g++ -fsanitize=address,undefined $(for source in "$here"/native/kernels/cuda/*.c[cu] "$here"/test/cuda/*.cc; do echo "$work/emulated/$(basename "$source").o"; done) \
      -o "$work/cuda-emulated" >> "$work/emulated-build.log" 2>&1
  then
    if ASAN_OPTIONS=detect_stack_use_after_return=0 nice "$work/cuda-emulated" > "$work/emulated.log" 2>&1; then row "kernels emulated, sanitized" ok "$(tail -1 "$work/emulated.log")"
    else row "kernels emulated, sanitized" FAILED "$work/emulated.log"; fi
  else row "kernels emulated, sanitized" FAILED "build: $work/emulated-build.log"; fi
else
  row "kernels emulated, sanitized" "not here" "no g++"
fi

# The spike on the addon whose CUDA engine runs on the emulator (node native/build.mjs --target lorikeet-emulated): uploads, ops, graphs by shape, sampling.
if [ ! -f "$here/build/emulated/lorikeet.node" ]; then row "spike, emulated" "not here" "no build/emulated/lorikeet.node: node native/build.mjs --target lorikeet-emulated"
elif device=cpu needs_server "spike, emulated" && device=cpu make_model tiny --shape tiny --adapters 8 --rank 16 --distinct 4; then
  device=cuda LORIKEET_ADDON=$here/build/emulated/lorikeet.node run_node "spike, emulated" spike --emulated yes --timeout 300 \
    --model "$models/tiny/base" --adapters "$models/tiny/r16"
fi
