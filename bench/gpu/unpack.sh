#!/usr/bin/env bash
# Puts one packed folder away on the GPU machine: bash FOLDER/unpack.sh FOLDER. The code is unpacked at once, the base when its last part has come.
# Into $GPU_CHECK_KIT (/tmp/lorikeet-kit): bin/node, app/ (a checkout that is built). Needs coreutils, tar, and xz or python3.
set -euo pipefail
folder=${1:?usage: unpack.sh FOLDER}
kit=${GPU_CHECK_KIT:-/tmp/lorikeet-kit}
[ -d "$folder" ] || { echo "unpack: $folder is not there (was it carried?)" >&2; exit 1; }
(cd "$folder" && sha256sum --quiet -c SHA256SUMS) || { echo "unpack: $folder is damaged" >&2; exit 1; }
mkdir -p "$kit/parts"

plain() { if command -v xz > /dev/null; then xz -dc; else python3 -c 'import lzma, shutil, sys; shutil.copyfileobj(lzma.open(sys.stdin.buffer), sys.stdout.buffer)'; fi; }

if [ -f "$folder/code.tar.xz" ]; then
  # Of an older code nothing may stay, above all no compiled program; packages and provider are the base's.
  rm -rf "$kit"/app/{dist,native,bench,test,deploy} "$kit"/app/build/{native,programs}
  plain < "$folder/code.tar.xz" | tar x --no-same-owner -C "$kit"
  echo "unpack: code in $kit/app"
fi
for part in "$folder"/part.*; do
  [ -f "$part" ] || continue
  cp "$part" "$folder/base.parts" "$folder/base.sha256" "$kit/parts/"
done
if [ -f "$kit/parts/base.parts" ]; then
  come=$(ls "$kit"/parts/part.* | wc -l)
  if [ "$come" = "$(cat "$kit/parts/base.parts")" ]; then
    [ "$(cat "$kit"/parts/part.* | sha256sum | cut -d' ' -f1)" = "$(cat "$kit/parts/base.sha256")" ] || { echo "unpack: the parts are not of one packing" >&2; exit 1; }
    cat "$kit"/parts/part.* | plain | tar x --no-same-owner -C "$kit"
    rm -r "$kit/parts"
    echo "unpack: base in $kit, complete"
  else echo "unpack: $come of $(cat "$kit/parts/base.parts") parts of the base have come"; fi
fi
