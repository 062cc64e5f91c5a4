# What the GPU check's scripts share: places, the table's rows, the kit of a machine without Node. Sourced.
# Variables that move things are GPU_CHECK_*: the server refuses a LORIKEET_* that is no setting of its.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=${GPU_CHECK_WORK:-$here/build/gpu}
results=$work/results
kit=${GPU_CHECK_KIT:-/tmp/lorikeet-kit}
device=${device:-cuda}
mkdir -p "$results"

gpu=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -1) || gpu=""
nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null) || nvcc=""
source "$here/bench/gpu/programs.sh"

# row NAME STATUS DETAIL: one line of the closing table, kept in the stage's file so that stages run in separate calls share one table.
# STATUS: ok, MISS (it runs, a target is missed), FAILED, "not here" (this machine lacks what it needs).
row() { printf '%s\t%s\t%s\n' "$1" "$2" "$(printf %s "$3" | tr -s '\n\t ' ' ' | cut -c1-240)" | tee -a "$results/$stage.tsv"; }

# Says "not here" and returns false where the stage needs a GPU that this machine lacks.
needs_gpu() {
  [ "$device" = cpu ] || [ -n "$gpu" ] && return 0
  row "$1" "not here" "no GPU"; return 1
}

# Folders with CUDA's libraries: those of Python's packages, and the usual places.
cuda_folders() {
  local sites site; sites=$(python3 -c 'import site; print(*site.getsitepackages())' 2>/dev/null) || sites=""
  for site in $sites; do ls -d "$site"/nvidia/*/lib 2> /dev/null; done
  ls -d /usr/local/cuda/lib64 /usr/local/nvidia/lib64 2> /dev/null
}

# Where the compiled server lies: this checkout if it is built, else the unpacked kit. Sets app, and PATH and LD_LIBRARY_PATH for the kit's libraries.
needs_server() {
  app=$here
  if [ ! -f "$here/dist/server/cli.js" ] || [ ! -d "$here/node_modules" ]; then app=$kit/app; fi
  if [ -x "$kit/bin/node" ]; then PATH=$kit/bin:$PATH; fi
  if [ ! -f "$app/dist/server/cli.js" ]; then row "$1" "not here" "the server is not built here, and no kit lies unpacked in $kit"; return 1; fi
  if ! command -v node > /dev/null; then row "$1" "not here" "no node"; return 1; fi
  local folder
  for folder in $(cuda_folders); do
    case ":${LD_LIBRARY_PATH:-}:" in *":$folder:"*) ;; *) LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder ;; esac
  done
  export PATH LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
  needs_addon "$1"
}

# The packed addon was built elsewhere: where it does not load (another libc, another CUDA) it is built here, with the headers that the kit carries.
needs_addon() {
  local load="require('$app/build/native/lorikeet.node').info()"
  node -e "$load" 2> "$work/addon.log" && return 0
  command -v cmake > /dev/null && cmake -S "$app/native" -B "$work/native" \
    -DNODE_API_INCLUDE="$app/node_modules/node-api-headers/include;$app/node_modules/node-addon-api" >> "$work/addon.log" 2>&1 &&
    cmake --build "$work/native" --parallel "$(nproc)" --target lorikeet >> "$work/addon.log" 2>&1 &&
    mkdir -p "$app/build/native" && cp "$work/native/lorikeet.node" "$app/build/native/" && node -e "$load" 2>> "$work/addon.log" && return 0
  row "$1" FAILED "the addon neither loads nor builds: $work/addon.log"; return 1
}

# time_left LIMIT: seconds for a command that may take LIMIT, within what GPU_CHECK_SECONDS leaves of this call. A lent machine ends a call at 600 s.
time_left() {
  local left=$((${GPU_CHECK_SECONDS:-${OUT:+580}} + 0)); [ $left = 0 ] && left=100000
  left=$((left - SECONDS)); [ $left -gt 1 ] || left=1
  echo $(($1 < left ? $1 : left))
}

# run_node NAME LIMIT PROGRAM ARGS…: a compiled program of dist/bench/gpu, which writes its own rows. One that ends badly without a row gets one.
run_node() {
  local name=$1 limit program=$3; limit=$(time_left "$2"); shift 3
  local before; before=$(cat "$results/$stage.tsv" 2>/dev/null | wc -l)
  # timeout signals the whole group: a server that the program has started ends, too, and gives the GPU's memory back.
  timeout -k 10 "$limit" node "$app/dist/bench/gpu/$program.js" --device "$device" --results "$results/$stage" "$@" 2>&1 | tee "$work/$program.log"
  local code=${PIPESTATUS[0]} told; told=$(tail -n +"$((before + 1))" "$results/$stage.tsv" 2>/dev/null)
  if [ "$code" = 124 ] || [ "$code" = 137 ]; then row "$name" "$([ -n "$told" ] && echo MISS || echo FAILED)" "not done after $limit s${told:+; the lines above stand}"
  elif [ "$code" != 0 ] && ! grep -q FAILED <<< "$told"; then
    row "$name" FAILED "exit code $code: $(grep -m1 'Error: ' "$work/$program.log" || grep . "$work/$program.log" | tail -1)"
  fi
  return "$code"
}

# A lent machine gives back what lies in $OUT when the call ends, however it ends: a few files of some megabytes.
hand_back() {
  [ -n "${OUT:-}" ] && [ -d "$OUT" ] || return 0
  cp "$work/table.txt" "$OUT/" 2> /dev/null
  tar cz -C "$work" results $(cd "$work" && ls -- *.log 2> /dev/null) -f "$OUT/gpu-check.tar.gz"
}

# The table of every stage that has run, here or in earlier calls; then the targets, as docs/benchmarks.md has them.
print_table() {
  local name file
  printf '\n%s, %s\n' "$(date -u +%F)" "${gpu:-no GPU on this machine: nothing below ran on one}"
  for name in "${order[@]}"; do
    file=$results/$name.tsv
    if [ -s "$file" ]; then awk -F'\t' '{printf "%-46s %-9s %s\n", $1, $2, $3}' "$file"; fi
  done
  echo; python3 "$here/bench/gpu/targets.py" "$results"
}

# The random model and adapters of a stage, below $models: made on this machine, kept for later stages. make_model NAME ARGS…
models=${GPU_CHECK_MODELS:-$work/models}
# On a lent machine nothing outlives the session, and its disk may be slow: in memory, where that has room for two bases of 16 GB.
if [ -n "${OUT:-}" ] && [ -z "${GPU_CHECK_MODELS:-}" ]; then
  if [ -d /dev/shm/lorikeet-models ] || [ "$(df -BG --output=avail /dev/shm 2> /dev/null | tail -1 | tr -d ' G')" -ge 40 ] 2> /dev/null; then models=/dev/shm/lorikeet-models; fi
fi
make_model() {
  local name=$1; shift
  local threads=(); if [ "$device" = cpu ]; then threads=(--device cpu); fi
  python3 "$here/bench/gpu/make_model.py" "$models/$name" "${threads[@]}" "$@" 2>&1 | tee -a "$work/models.log" | tail -1
  [ "${PIPESTATUS[0]}" = 0 ] || { row "model $name" FAILED "$(tail -1 "$work/models.log" | cut -c1-160)"; return 1; }
}
