# The kernels' checks on the emulator, under the address sanitizer: indices, barriers, order of sums.
if command -v g++ > /dev/null; then
  mkdir -p "$work/emulated"; objects=(); built=1
  for source in "$here"/native/kernels/cuda/*.c[cu] "$here"/test/cuda/*.cc; do
    object=$work/emulated/$(basename "$source").o; objects+=("$object")
    [ "$object" -nt "$source" ] || nice g++ -std=c++20 -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -I"$here/native" -I"$here/test/cuda" \
      -x c++ -c "$source" -o "$object" || built=0
  done
  if [ $built = 1 ] && g++ -fsanitize=address,undefined "${objects[@]}" -o "$work/cuda-emulated" &&
    ASAN_OPTIONS=detect_stack_use_after_return=0 nice "$work/cuda-emulated" > "$work/emulated.log" 2>&1
  then row "kernels emulated, sanitized" ok "$(tail -1 "$work/emulated.log")"
  else row "kernels emulated, sanitized" FAILED "$work/emulated.log"; fi
else
  row "kernels emulated, sanitized" "not here" "no g++"
fi
