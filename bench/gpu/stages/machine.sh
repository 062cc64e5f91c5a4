# What this machine has of all that the later stages need, in two seconds, before anything large is carried to it.
mkdir -p "$models"
room="$(nproc) cores, $(awk '/MemAvailable/ {printf "%.0f", $2 / 1048576}' /proc/meminfo) GiB of memory, $(df -BG --output=avail "$models" | tail -1 | tr -d ' G') GiB for models in $models"
tools=""; for tool in nvcc cmake g++ compute-sanitizer xz node; do command -v $tool > /dev/null && tools="$tools $tool" || tools="$tools (no $tool)"; done
python=$(python3 - 2> /dev/null << 'END'
import importlib.metadata as metadata
names = []
for name in ("torch", "transformers", "peft", "safetensors", "vllm", "sglang"):
    try:
        names.append(f"{name} {metadata.version(name)}")
    except metadata.PackageNotFoundError:
        names.append(f"(no {name})")
print(*names, sep=", ")
END
) || python="no python3"
row "machine" ok "$room;$tools; $python"
if [ -n "$gpu" ]; then
  row "machine: GPU" ok "$gpu, $(nvidia-smi --query-gpu=memory.total,memory.used,compute_cap,clocks.mem --format=csv,noheader | head -1)"
  lacking=""
  for library in libcudart.so.13 libcublas.so.13 libcublasLt.so.13 libcurand.so.10 libcuda.so.1; do
    ldconfig -p 2> /dev/null | grep -q "$library" && continue
    for folder in $(cuda_folders); do [ -e "$folder/$library" ] && continue 2; done
    lacking="$lacking $library"
  done
  if [ -z "$lacking" ]; then row "machine: CUDA 13's libraries" ok "found, as the provider needs them"
  else row "machine: CUDA 13's libraries" FAILED "not found:$lacking (looked in ldconfig's list, Python's nvidia packages and /usr/local); the engine cannot start"; fi
fi
