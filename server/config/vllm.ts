/** What vLLM's users give that has no counterpart here, by its name there, and what to do about it. (Flags that have one name it in settings.ts.) */
const ONE_DEVICE = 'a server runs on one device: start one for each, behind a load balancer'
const FOLDERS = 'models and adapters are read from folders, never fetched: give MODEL_DIR and --adapters DIR'

export const VLLM_ADVICE: Readonly<Record<string, string>> = {
  'enable-lora': 'adapters are always served: give --adapters DIR or --adapter NAME=DIR, and leave it out',
  'max-loras': 'a batch takes as many adapters as it has sequences: leave it out',
  'max-lora-rank': 'adapters of every rank are served: leave it out',
  'max-cpu-loras': 'adapters in host memory are bounded by their bytes, not their number: --host-memory SIZE',
  'fully-sharded-loras': ONE_DEVICE,
  'api-server-count': 'one process answers, and --tokenizer-processes read long texts: leave it out',
  'tensor-parallel-size': ONE_DEVICE,
  'pipeline-parallel-size': ONE_DEVICE,
  'data-parallel-size': ONE_DEVICE,
  'distributed-executor-backend': ONE_DEVICE,
  'trust-remote-code': 'code of a model folder is never run: leave it out',
  tokenizer: "the model folder's own tokenizer is used: leave it out",
  'tokenizer-mode': "the model folder's own tokenizer is used: leave it out",
  revision: FOLDERS,
  'download-dir': FOLDERS,
  'load-format': FOLDERS,
  'hf-token': FOLDERS,
  'generation-config': "the model folder's generation_config.json is read: change it there",
  'enable-chunked-prefill': 'long prompts are always computed in chunks (--max-batch-tokens): leave it out',
  'num-gpu-blocks-override': 'the size of the cache is --pool',
  'swap-space': 'the cache is never swapped out; its size is --pool',
  'cpu-offload-gb': 'weights are never offloaded; --quantization int8 or int4 makes them smaller',
  'disable-log-requests': 'requests are not logged unless --log-level is info or less: leave it out',
  'disable-log-stats': 'figures are in /metrics, not in the log: leave it out',
  'uvicorn-log-level': 'what is logged is --log-level',
  seed: 'each request brings its own seed: leave it out',
  runner: 'this server generates text: leave it out',
  task: 'this server generates text: leave it out',
}
