# Compiles every kernel for what the project ships, and reads what the assembler says of registers and spills.
if [ -z "$nvcc" ]; then
  row "compile (sm_80, sm_90a)" "not here" "no nvcc"
else
  started=$SECONDS
  mkdir -p "$work/objects"
  export nvcc work
  if ls "$here"/native/kernels/cuda/*.cu | xargs -P "$(nproc)" -I{} sh -c '
    name=$(basename {} .cu)
    nice "$nvcc" -std=c++17 -O3 -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90a,code=sm_90a -Xptxas=-v -c {} -o "$work/objects/$name.o" \
      > "$work/objects/$name.log" 2>&1 || { cat "$work/objects/$name.log"; exit 1; }'
  then compiled=ok; else compiled=FAILED; fi
  awk '/Compiling entry/ {for (i = 1; i <= NF; i++) if ($i ~ /sm_/) arch = $i; kernel = $7}
    /spill/ {spill = $5 + $9; stack = $1}
    /Used/ {n = split(FILENAME, part, "/"); printf "%s %s %s registers=%s spill_bytes=%d stack=%s\n", part[n], arch, kernel, $5, spill, stack}' \
    "$work"/objects/*.log > "$work/resources"
  spills=$(grep -vc 'spill_bytes=0 ' "$work/resources")
  most=$(sed 's/.*registers=\([0-9]*\).*/\1/' "$work/resources" | sort -n | tail -1)
  row "compile (sm_80, sm_90a)" "$compiled" "$(wc -l < "$work/resources") kernels, $((SECONDS - started)) s"
  if [ "$spills" = 0 ]; then row "resources" ok "no spills, at most $most registers ($work/resources)"
  else row "resources" FAILED "$spills kernels spill ($work/resources)"; fi
fi
