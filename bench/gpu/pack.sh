#!/usr/bin/env bash
# Packs what a GPU machine without this checkout, Node and network lacks, in numbered folders that are carried one at a time (check --pack FOLDER).
#   FOLDER/1        code: compiled JavaScript, the addon, the demo model, kernel sources, this check. Small; packed anew each time
#   FOLDER/2 …      base: node, production node_modules, ONNX Runtime with its CUDA provider. Packed again only when one of them changes (3 minutes)
# Each folder has SHA256SUMS and unpack.sh. Needs npm's registry once, for the provider (npm run setup:cuda).
# GPU_CHECK_BUILT=1: pack dist/ and the addon as they lie there, without a build before it. GPU_CHECK_CARRY: what a call may carry, in MiB (64).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${1:?usage: pack.sh FOLDER}; mkdir -p "$out"; out=$(cd "$out" && pwd)
cd "$here"
if [ "${GPU_CHECK_BUILT:-}" != 1 ]; then node deploy/prepare.mjs --quiet; fi
[ -f build/cuda-provider/setup.json ] || node deploy/setup-cuda.mjs > /dev/null
stage=$(mktemp -d "$out/.stage.XXXX"); trap 'rm -rf "$stage"' EXIT

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
  (cd "$stage" && split -b "${limit}M" -d -a 2 base.tar.xz part.)
  ls "$stage"/part.* | wc -l > "$stage/base.parts"
  sha256sum < "$stage/base.tar.xz" | cut -d' ' -f1 > "$stage/base.sha256"
  local number=1 part
  for part in "$stage"/part.*; do
    number=$((number + 1)); mkdir -p "$out/$number"
    mv "$part" "$out/$number/"; cp "$stage/base.parts" "$stage/base.sha256" "$out/$number/"
  done
  rm "$stage/base.tar.xz"
}
stamp=$( (node --version; sha256sum package-lock.json build/cuda-provider/setup.json) | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/base.stamp" 2> /dev/null)" != "$stamp" ]; then
  rm -f "$out/base.stamp"
  mkdir -p "$stage/base/bin" "$stage/base/app/build"
  cp "$(readlink -f "$(command -v node)")" "$stage/base/bin/node"
  cp -a build/cuda-provider "$stage/base/app/build/"
  production > "$stage/packages"
  tar c --exclude='*.map' --exclude='*.ts' --exclude='*.md' --exclude='*/onnxruntime-node/bin/*' --exclude='*/node-api-headers/def' -T "$stage/packages" | tar x -C "$stage/base/app"
  library=node_modules/onnxruntime-node/bin/napi-v6/linux/x64/libonnxruntime.so.1
  mkdir -p "$stage/base/app/$(dirname "$library")"; cp "$library" "$stage/base/app/$library"
  tar c -C "$stage/base" --sort=name --owner=0 --group=0 . | nice xz -T0 -6 > "$stage/base.tar.xz"
  rm -r "$stage/base"
  cut_base
  echo "$stamp" > "$out/base.stamp"
elif [ "$(stat -c %s "$out/2/part.00")" -gt $((limit * 1048576)) ]; then
  # The working tree has grown: the same base in smaller parts.
  cat "$out"/[0-9]*/part.* > "$stage/base.tar.xz"
  cut_base
fi

mkdir -p "$out/1" "$stage/app/build/native"
tar c --exclude='*.map' --exclude='dist/test/*' --exclude=__pycache__ package.json dist native deploy/demo-model test/cuda test/native/harness.h test/fixtures/demo bench/gpu | tar x -C "$stage/app"
mkdir -p "$stage/app/dist/test"; cp -r dist/test/support "$stage/app/dist/test/"; find "$stage/app/dist" -name '*.map' -delete
# Its symbols stay: a crash there names the function.
strip --strip-debug -o "$stage/app/build/native/lorikeet.node" build/native/lorikeet.node
tar c -C "$stage" --sort=name --owner=0 --group=0 app | nice xz -T0 -6 > "$out/1/code.tar.xz"
[ "$(stat -c %s "$out/1/code.tar.xz")" -lt $((limit * 1048576)) ] || { echo "pack.sh: the code alone is more than the $limit MiB of a call" >&2; exit 1; }
for folder in "$out"/[0-9]*; do
  cp bench/gpu/unpack.sh "$folder/"
  (cd "$folder" && rm -f SHA256SUMS && sha256sum -- * > ../SHA256SUMS.part && mv ../SHA256SUMS.part SHA256SUMS)
done

count=$(ls -d "$out"/[0-9]* | wc -l)
short=${out#"$here/"}
folders=("$out"/[0-9]*); count=${#folders[@]}
short=${out#"$here/"}
echo "packed $(du -shc "${folders[@]}" | tail -1 | cut -f1) in $count folders of at most $limit MiB in $out."
cat << END

Where one command runs at a time in a copy of this working tree and carries one folder, one call each, in this order, one right after the other
(a machine that is given back in between has lost what came before; each fits 600 s; what comes back lies in \$OUT):
END
call() { printf '  %d. %-20s bench/gpu/check %s\n' "$1" "${2:+carry [\"$2\"]}" "$3"; }
call 1 "$short/1" "--take $short/1 kernels"
for number in $(seq 2 $((count - 1))); do
  stages=""; if [ "$number" = 2 ]; then stages=" times"; fi
  call "$number" "$short/$number" "--take $short/$number$stages"
done
call "$count" "$short/$count" "--take $short/$count spike demo"
call $((count + 1)) "" "step"
call $((count + 2)) "" "serve peft"
call $((count + 3)) "" "slora"
cat << END
After a change of code: pack again (seconds) and carry "$short/1" alone with the next call, --take $short/1 and the stages to repeat.

On any other GPU machine (Linux x64, driver 580 or newer, CUDA 13 with nvcc, Python with torch for the models), with the folders side by side in K:
  for f in K/[0-9]*; do bash \$f/unpack.sh \$f; done; \${GPU_CHECK_KIT:-/tmp/lorikeet-kit}/app/bench/gpu/check
END
