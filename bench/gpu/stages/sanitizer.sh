# The same checks in small shapes under compute-sanitizer: accesses out of bounds, races in shared memory.
if [ -z "$gpu" ]; then row "compute-sanitizer" "not here" "no GPU"
elif ! command -v compute-sanitizer > /dev/null; then row "compute-sanitizer" "not here" "not installed"
elif ! needs_programs; then row "compute-sanitizer" FAILED "no program: $(tail -1 "$work/programs.log")"
else
  for tool in memcheck racecheck; do
    limit=$(time_left 150); timeout "$limit" compute-sanitizer --tool $tool --error-exitcode 9 "$programs/cuda-check" --quick > "$work/$tool.log" 2>&1
    code=$?
    if [ $code = 0 ]; then row "compute-sanitizer $tool" ok "$(grep -m1 'ERROR SUMMARY\|RACECHECK SUMMARY' "$work/$tool.log" | tr -d =)"
    elif [ $code = 124 ] && ! grep -q '^========= \(Invalid\|Error\|Race\|Uninit\)' "$work/$tool.log"; then row "compute-sanitizer $tool" MISS "not done after $limit s; nothing found so far"
    else row "compute-sanitizer $tool" FAILED "$(grep '^=========' "$work/$tool.log" | grep -v COMPUTE-SANITIZER | head -1 | tr -d =) ($work/$tool.log)"; fi
  done
fi
