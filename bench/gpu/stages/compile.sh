# Compiles every kernel, the checker and the timing program for what the project ships, and reads what the assembler says of registers and spills.
if [ -z "$nvcc" ]; then
  row "compile (sm_80, sm_90a)" "not here" "no nvcc"
else
  started=$SECONDS
  if build_programs "$shipped_flags"; then
    row "compile (sm_80, sm_90a)" ok "$(program_sources | wc -l) sources, linked as cuda-check and kernel-times, $((SECONDS - started)) s"
  else row "compile (sm_80, sm_90a)" FAILED "$(tail -1 "$work/programs.log") ($work/programs.log)"; fi
  # Of the product's kernels alone.
  awk '/Compiling entry/ {for (i = 1; i <= NF; i++) if ($i ~ /sm_/) arch = $i; kernel = $7}
    /spill/ {spill = $5 + $9; stack = $1}
    /Used/ {n = split(FILENAME, part, "/"); printf "%s %s %s registers=%s spill_bytes=%d stack=%s\n", part[n], arch, kernel, $5, spill, stack}' \
    $(for source in "$here"/native/kernels/cuda/*.cu; do echo "$work/objects/$(basename "$source").log"; done) > "$work/resources" 2> /dev/null
  spills=$(grep -vc 'spill_bytes=0 ' "$work/resources")
  most=$(sed 's/.*registers=\([0-9]*\).*/\1/' "$work/resources" | sort -n | tail -1)
  if [ ! -s "$work/resources" ]; then row "resources" FAILED "the assembler reported nothing"
  elif [ "$spills" = 0 ]; then row "resources" ok "$(wc -l < "$work/resources") kernels, no spills, at most $most registers ($work/resources)"
  else row "resources" FAILED "$spills of $(wc -l < "$work/resources") kernels spill: $(grep -v 'spill_bytes=0 ' "$work/resources" | cut -d' ' -f1,2 | sort -u | head -3 | paste -sd,) ($work/resources)"; fi
fi
