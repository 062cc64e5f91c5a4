# The packing, dry: unpacked in an empty folder, with a PATH that has no node, npm or compiler, the server runs on the CPU and gives the demo model's golden rows.
if ! command -v node > /dev/null || [ ! -d "$here/.git" ]; then row "packing" "not here" "packing needs the checkout and node"
else
  pack=${GPU_CHECK_PACK:-$work/pack}
  dry=$(mktemp -d); mkdir "$dry/path" "$dry/home"
  for tool in bash sh cat ls cp mv rm mkdir mktemp dirname basename tar xz sha256sum awk sed grep cut tr sort tail head tee wc date nproc seq env python3 curl sleep; do
    found=$(command -v $tool) && ln -s "$found" "$dry/path/$tool"
  done
  alone() { env -i PATH="$dry/path" HOME="$dry/home" GPU_CHECK_KIT="$dry/kit" GPU_CHECK_WORK="$dry/work" "$@"; }
  if ! "$here/bench/gpu/pack.sh" "$pack" > "$work/packing.log" 2>&1; then row "packing" FAILED "$(tail -1 "$work/packing.log")"
  elif ! { for folder in "$pack"/[0-9]*; do alone bash "$folder/unpack.sh" "$folder" || exit 1; done; } >> "$work/packing.log" 2>&1; then
    row "packing" FAILED "does not unpack: $(tail -1 "$work/packing.log")"
  elif alone "$dry/kit/app/bench/gpu/check" --device cpu demo >> "$work/packing.log" 2>&1; then
    row "packing" ok "$(du -sh "$pack" | cut -f1) in $(ls -d "$pack"/[0-9]* | wc -l) folders; unpacked where nothing else is, on the CPU: $(cut -f3 "$dry/work/results/demo.tsv" | head -1)"
  else row "packing" FAILED "unpacked, but the server does not run: $(grep -a FAILED "$work/packing.log" | tail -1)"; fi
  rm -rf "$dry"
fi
