# The packing, dry: a copy of the working tree as it travels, and the folders taken there one by one, with a PATH that has no node, npm or compiler. The server
# then runs on the CPU and gives the demo model's golden rows, and the CUDA programs are those of the copy's sources.
if ! command -v node > /dev/null || [ ! -d "$here/.git" ]; then row "packing" "not here" "packing needs the checkout and node"
else
  # A kit that lies there already has its base: packing it anew takes minutes.
  pack=$here/.kit; [ -f "$pack/base.stamp" ] || pack=$work/pack
  pack=${GPU_CHECK_PACK:-$pack}
  dry=$(mktemp -d); mkdir "$dry/path" "$dry/home" "$dry/tree" "$dry/out"
  for tool in bash sh cat ls cp mv rm mkdir mktemp dirname basename tar xz gzip sha256sum awk sed grep cut tr sort tail head tee wc date df nproc seq env timeout xargs python3 curl sleep; do
    found=$(command -v $tool) && ln -s "$found" "$dry/path/$tool"
  done
  (cd "$here" && git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2> /dev/null | tar c -T -) | tar x -C "$dry/tree"
  alone() { (cd "$dry/tree" && env -i PATH="$dry/path" HOME="$dry/home" OUT="$dry/out" GPU_CHECK_KIT="$dry/kit" GPU_CHECK_WORK="$dry/work" GPU_CHECK_MODELS="$dry/models" "$@"); }
  take_all() { local folder; for folder in "$pack"/[0-9]*; do alone bench/gpu/check --take "$folder" || return 1; done; }
  carried() { [ -z "$nvcc" ] || alone bash -c 'source bench/gpu/lib.sh; [ "$(sources_digest)" = "$(cat "$kit/app/build/programs/made-of")" ] && "$kit/app/build/programs/kernel-times" --help'; }
  if ! "$here/bench/gpu/pack.sh" "$pack" > "$work/packing.log" 2>&1; then row "packing" FAILED "$(tail -1 "$work/packing.log")"
  elif ! take_all >> "$work/packing.log" 2>&1; then row "packing" FAILED "does not unpack: $(tail -1 "$work/packing.log")"
  elif ! carried >> "$work/packing.log" 2>&1; then row "packing" FAILED "the CUDA programs are of other sources than the tree's, or do not start"
  elif ! alone bench/gpu/check --device cpu demo >> "$work/packing.log" 2>&1; then
    row "packing" FAILED "unpacked, but the server does not run: $(grep -a FAILED "$work/packing.log" | tail -1)"
  elif [ ! -s "$dry/out/table.txt" ] || [ ! -s "$dry/out/gpu-check.tar.gz" ]; then row "packing" FAILED "nothing came back in \$OUT"
  else row "packing" ok "$(du -sh "$pack" | cut -f1) in $(ls -d "$pack"/[0-9]* | wc -l) folders; unpacked where nothing else is, on the CPU: $(cut -f3 "$dry/work/results/demo.tsv" | head -1)"; fi
  rm -rf "$dry"
fi
