# ONNX Runtime's real CUDA provider and the real addon on a runtime that computes nothing (test/cuda/hollow): sessions, node placement, bindings, launches.
tests=$(ls "$here"/dist/test/hollow/*.test.js 2> /dev/null)
if ! command -v node > /dev/null || [ ! -d "$here/node_modules" ]; then row "hollow" "not here" "needs the checkout and node"
elif [ -z "$nvcc" ]; then row "hollow" "not here" "no nvcc to build the addon with"
elif [ -z "$tests" ]; then row "hollow" "not here" "no dist/test/hollow: npm run build"
elif [ ! -f "$here/build/cuda-provider/setup.json" ]; then row "hollow" "not here" "no CUDA provider: npm run setup:cuda"
elif ! node "$here/native/build.mjs" --target lorikeet-hollow > "$work/hollow-build.log" 2>&1; then row "hollow" FAILED "build: $work/hollow-build.log"
else
  : > "$work/hollow.log"; wrong=""
  for file in $tests; do
    (cd "$here" && timeout 300 node "$file") >> "$work/hollow.log" 2>&1 || wrong="$wrong $(basename "$file" .test.js)"
  done
  passed=$(sed -n 's/^# { total: [0-9]*, pass: \([0-9]*\).*/\1/p' "$work/hollow.log" | awk "{sum += \$1} END {print sum + 0}")
  skipped=$(grep -m1 '# SKIP' "$work/hollow.log" | sed 's/.*# SKIP *//')
  if [ -n "$wrong" ]; then row "hollow" FAILED "fail:$wrong ($work/hollow.log)"
  elif [ -n "$skipped" ]; then row "hollow" "not here" "skipped: $skipped"
  else row "hollow" ok "${passed:-0} checks of the real addon and provider without a GPU"; fi
fi
