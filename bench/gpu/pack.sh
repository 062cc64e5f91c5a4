#!/usr/bin/env bash
# Packs what a GPU machine without this checkout, Node and network lacks, in numbered folders that are carried one at a time (check --pack FOLDER).
#   FOLDER/1        code: compiled JavaScript, the addon, the demo model, kernel sources, this check. Small; packed anew each time
#   FOLDER/2 …      base: node, production node_modules, ONNX Runtime with its CUDA provider. Packed again only when one of them changes (3 minutes)
# Each folder has SHA256SUMS and unpack.sh. Needs npm's registry once, for the provider (npm run setup:cuda). With nvcc here, the CUDA programs travel compiled.
# GPU_CHECK_BUILT=1: pack dist/ and the addon as they lie there, without a build before it. GPU_CHECK_CARRY: what a call may carry, in MiB (64).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${1:?usage: pack.sh FOLDER}; mkdir -p "$out"; out=$(cd "$out" && pwd)
source "$here/bench/gpu/lib.sh"
cd "$here"
if [ "${GPU_CHECK_BUILT:-}" != 1 ]; then node deploy/prepare.mjs --quiet; fi
[ -f build/cuda-provider/setup.json ] || node deploy/setup-cuda.mjs > /dev/null
temp=$(mktemp -d "$out/.temp.XXXX"); trap 'rm -rf "$temp"' EXIT

if [ -n "$nvcc" ]; then build_programs "$shipped_flags" || { echo "pack.sh: the CUDA programs do not compile: $work/programs.log" >&2; exit 1; }; fi

# With each call travels the working tree too (tracked files, and untracked ones that git does not ignore).
tree=$( (git ls-files -z --cached --others --exclude-standard 2> /dev/null | xargs -0 -r stat -c %s 2> /dev/null || true) | awk '{sum += $1} END {print int(sum / 1048576) + 1}')
limit=$((${GPU_CHECK_CARRY:-64} - tree - 2))

# The packages that the server needs at run time: all in the lock file that are not for development.
production() {
  node -e 'const { packages } = require("./package-lock.json")
    for (const [name, one] of Object.entries(packages)) if (name && !one.dev && !one.devOptional && require("fs").existsSync(name)) console.log(name)'
}
# Cuts the base into folders 2, 3, … that fit a call.
cut_base() {
  rm -rf "$out"/[2-9]* "$out"/1[0-9]*
  (cd "$temp" && split -b "${limit}M" -d -a 2 base.tar.xz part.)
  ls "$temp"/part.* | wc -l > "$temp/base.parts"
  sha256sum < "$temp/base.tar.xz" | cut -d' ' -f1 > "$temp/base.sha256"
  local number=1 part
  for part in "$temp"/part.*; do
    number=$((number + 1)); mkdir -p "$out/$number"
    mv "$part" "$out/$number/"; cp "$temp/base.parts" "$temp/base.sha256" "$out/$number/"
  done
  rm "$temp/base.tar.xz"
}
stamp=$( (node --version; sha256sum package-lock.json build/cuda-provider/setup.json) | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/base.stamp" 2> /dev/null)" != "$stamp" ]; then
  rm -f "$out/base.stamp"
  mkdir -p "$temp/base/bin" "$temp/base/app/build"
  cp "$(readlink -f "$(command -v node)")" "$temp/base/bin/node"
  cp -a build/cuda-provider "$temp/base/app/build/"
  production > "$temp/packages"
  tar c --exclude='*.map' --exclude='*.ts' --exclude='*.md' --exclude='*/onnxruntime-node/bin/*' --exclude='*/node-api-headers/def' -T "$temp/packages" | tar x -C "$temp/base/app"
  library=node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1
  mkdir -p "$temp/base/app/$(dirname "$library")"; cp "$library" "$temp/base/app/$library"
  tar c -C "$temp/base" --sort=name --owner=0 --group=0 . | nice xz -T0 -6 > "$temp/base.tar.xz"
  rm -r "$temp/base"
  cut_base
  echo "$stamp" > "$out/base.stamp"
elif [ "$(stat -c %s "$out/2/part.00")" -gt $((limit * 1048576)) ]; then
  # The working tree has grown: the same base in smaller parts.
  cat "$out"/[0-9]*/part.* > "$temp/base.tar.xz"
  cut_base
fi

mkdir -p "$out/1" "$temp/app/build/native"
tar c --exclude='*.map' --exclude='dist/test/*' --exclude=__pycache__ package.json dist native deploy/demo-model test/cuda test/native/harness.h test/fixtures/demo bench/gpu | tar x -C "$temp/app"
mkdir -p "$temp/app/dist/test"; cp -r dist/test/support "$temp/app/dist/test/"; find "$temp/app/dist" -name '*.map' -delete
# Its symbols stay: a crash there names the function.
strip --strip-debug -o "$temp/app/build/native/lorikeet.node" build/native/lorikeet.node
if [ -n "$nvcc" ]; then
  mkdir -p "$temp/app/build/programs"
  for program in cuda-check kernel-times; do strip -o "$temp/app/build/programs/$program" "$programs/$program"; done
  cp "$programs/made-of" "$temp/app/build/programs/"
fi
tar c -C "$temp" --sort=name --owner=0 --group=0 app | nice xz -T0 -6 > "$out/1/code.tar.xz"
[ "$(stat -c %s "$out/1/code.tar.xz")" -lt $((limit * 1048576)) ] || { echo "pack.sh: the code alone is more than the $limit MiB of a call" >&2; exit 1; }
for folder in "$out"/[0-9]*; do
  cp bench/gpu/unpack.sh "$folder/"
  (cd "$folder" && rm -f SHA256SUMS && sha256sum -- * > ../SHA256SUMS.part && mv ../SHA256SUMS.part SHA256SUMS)
done

folders=("$out"/[0-9]*); count=${#folders[@]}
short=${out#"$here/"}
cat << END
packed $(du -shc "${folders[@]}" | tail -1 | cut -f1) in $count folders of at most $limit MiB in $out.

Where one command runs at a time in a copy of this working tree and carries one folder, one call each, in this order, one right after the other: a machine that is
given back in between has lost what came before. What comes back lies in \$OUT. The seconds are estimates; no stage runs beyond the 580 s of a call.
END
step=0
call() { step=$((step + 1)); printf '  %2d. %-19s bench/gpu/check %-42s %4d s  %s\n' $step "${1:+carry [\"$1\"]}" "$2" "$3" "${4:-}"; }
for number in $(seq 1 $((count - 1))); do
  stages=""; if [ "$number" = 1 ]; then stages=" machine"; fi
  call "$short/$number" "--take $short/$number$stages" 5
done
call "$short/$count" "--take $short/$count spike kernels demo times" 260 "after 60 s it is known whether the engine runs"
call "" "step serve peft" 480 "makes the 8B model; all targets but the kernels'"
call "" "slora peers" 430 "2,000 adapters; others' kernels"
call "" "sanitizer" 200
cat << END
Together about 25 minutes with the start and the transfers. If "machine" says that a library is missing, stop there and carry it. If "spike" fails, the fault is in that
call's output and gpu-check.tar.gz (spike-memcheck.log): hand the machine back, mend, pack again, start over; "kernels", "times" and "peers" need no engine.
After a change of code that takes seconds: pack again and carry "$short/1" alone with the next call, --take $short/1 and the stages to repeat.

On any other GPU machine (Linux x64, driver 580 or newer, CUDA 13, Python with torch for the models), with the folders side by side in K:
  for f in K/[0-9]*; do bash \$f/unpack.sh \$f; done; \${GPU_CHECK_KIT:-/tmp/lorikeet-kit}/app/bench/gpu/check
END
