# The check's two CUDA programs, sourced by lib.sh: cuda-check (every kernel against float64) and kernel-times (every kernel against its bytes).
# Compiled in parallel, objects kept. A kit carries them compiled: they serve where its sources are this checkout's.
programs=$work/programs

# What the project ships. A GPU of another architecture compiles for its own.
shipped_flags="-gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a"
capability() { nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2> /dev/null | head -1 | tr -d .; }
arch_flags() {
  local found; found=$(capability)
  case $found in
    "") echo "$shipped_flags" ;;
    90) echo "-gencode=arch=compute_90a,code=sm_90a" ;;
    *) echo "-gencode=arch=compute_$found,code=sm_$found" ;;
  esac
}

program_sources() { ls "$here"/native/kernels/cuda/*.c[cu] "$here/test/cuda/check.cu" "$here/bench/gpu/kernels/time.cu"; }
program_inputs() { ls "$here"/native/kernels/{,cpu/}*.h "$here"/native/kernels/cuda/* "$here"/test/cuda/*.{h,cc,cu} "$here/test/native/harness.h" "$here"/bench/gpu/kernels/*.{h,cu}; }
sources_digest() { program_inputs | LC_ALL=C sort | xargs cat | sha256sum | cut -d' ' -f1; }

# build_programs FLAGS: into $programs, with the assembler's report in objects/*.log. False without nvcc, or with the reason in programs.log.
build_programs() {
  local flags=$1 newest
  [ -n "$nvcc" ] || { echo "no nvcc" > "$work/programs.log"; return 1; }
  mkdir -p "$programs" "$work/objects"
  if [ "$(cat "$work/objects/flags" 2> /dev/null)" != "$flags" ]; then rm -f "$work"/objects/*; echo "$flags" > "$work/objects/flags"; fi
  rm -f "$programs/made-of"
  newest=$(program_inputs | grep -v '\.cu$' | xargs ls -t | head -1)
  export nvcc work here flags newest
  program_sources | xargs -P "$(nproc)" -I{} sh -c '
    made=$work/objects/$(basename {})
    [ "$made.o" -nt {} ] && [ "$made.o" -nt "$newest" ] && exit 0
    nice "$nvcc" -std=c++17 -O3 $flags -Xptxas=-v -I"$here/native" -I"$here/test/cuda" -c {} -o "$made.part" > "$made.log" 2>&1 && mv "$made.part" "$made.o" ||
      { grep -h -m3 "error" "$made.log"; exit 1; }' > "$work/programs.log" 2>&1 || return 1
  local kernels=() source
  for source in "$here"/native/kernels/cuda/*.c[cu]; do kernels+=("$work/objects/$(basename "$source").o"); done
  "$nvcc" $flags "$work/objects/check.cu.o" "${kernels[@]}" -o "$programs/cuda-check" >> "$work/programs.log" 2>&1 &&
    "$nvcc" $flags "$work/objects/time.cu.o" "${kernels[@]}" -o "$programs/kernel-times" >> "$work/programs.log" 2>&1 && sources_digest > "$programs/made-of"
}

# Sets $programs to where they lie: the kit's, those built here before, or built now.
needs_programs() {
  local digest; digest=$(sources_digest)
  case $(capability) in 8? | 90)
    if [ "$(cat "$kit/app/build/programs/made-of" 2> /dev/null)" = "$digest" ] && "$kit/app/build/programs/kernel-times" --help > /dev/null 2>&1; then
      programs=$kit/app/build/programs; return 0
    fi ;;
  esac
  programs=$work/programs
  [ "$(cat "$programs/made-of" 2> /dev/null)" = "$digest" ] || build_programs "$(arch_flags)"
}

# Bytes a second of this GPU's memory, into results/bandwidth.json and, for people, bandwidth.txt. Measured once.
measure_bandwidth() {
  [ -s "$results/bandwidth.json" ] && return 0
  [ -n "$gpu" ] && needs_programs || return 1
  "$programs/kernel-times" --ceilings > "$results/bandwidth.json" 2> "$work/bandwidth.log" || { rm -f "$results/bandwidth.json"; return 1; }
  awk -F'[:,}]' '{printf "%.0f GB/s read, %.0f GB/s copied (read and written)", $2 / 1e9, $4 / 1e9}' "$results/bandwidth.json" > "$work/bandwidth.txt"
}
