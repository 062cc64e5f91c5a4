# ONNX Runtime's real CUDA provider and the real addon on a runtime that computes nothing (test/cuda/hollow): sessions, node placement, bindings, capture.
tests=$(ls "$here"/dist/test/hollow/*.test.js 2> /dev/null)
if [ ! -f "$here/build/hollow/lorikeet.node" ]; then row "hollow" "not here" "no build/hollow: node native/build.mjs --target lorikeet-hollow (needs nvcc)"
elif [ -z "$tests" ]; then row "hollow" "not here" "no dist/test/hollow: npm run build"
elif [ ! -f "$here/build/cuda-provider/setup.json" ]; then row "hollow" "not here" "no CUDA provider: npm run setup:cuda"
else
  : > "$work/hollow.log"; wrong=""; passed=0
  for file in $tests; do
    if (cd "$here" && timeout 300 node "$file") >> "$work/hollow.log" 2>&1; then passed=$((passed + 1)); else wrong="$wrong $(basename "$file" .test.js)"; fi
  done
  asserts=$(grep -c '^ *ok ' "$work/hollow.log")
  if [ -n "$wrong" ]; then row "hollow" FAILED "fail:$wrong ($work/hollow.log)"
  elif grep -qi '# SKIP' "$work/hollow.log"; then row "hollow" "not here" "$(grep -i -m1 '# SKIP' "$work/hollow.log" | sed 's/.*# SKIP//I')"
  else row "hollow" ok "$passed files, $asserts checks on the real provider without a GPU"; fi
fi
