/**
 * vLLM's command line, read as ours: a flag that has a counterpart is that one (settings.ts names them), what needs nothing here is passed over, and of the others an error says what to do. Names may have underscores, as
 * vLLM's may.
 */
import { ConfigError } from './values.ts'

const ONE_DEVICE = 'a server runs on one device: start one for each, behind a load balancer'
const REVISION = 'a revision stands behind the name: ORG/NAME@REVISION'

/** What no setting is needed for here, and whether it takes a value there. Its opposite cannot be had. */
export const VLLM_NEEDLESS: Readonly<Record<string, { value: boolean; because: string }>> = {
  'enable-lora': { value: false, because: 'adapters are always served' },
  'max-loras': { value: true, because: 'a batch takes as many adapters as it has sequences' },
  'enable-chunked-prefill': { value: false, because: 'long prompts are always computed in chunks (--max-batch-tokens)' },
  'enable-auto-tool-choice': {
    value: false,
    because: 'tools are called wherever the format of calls is known (--tool-call-parser)',
  },
  'disable-log-requests': {
    value: false,
    because: 'requests are not logged unless --log-level is info or less, or --enable-log-requests is given',
  },
  runner: { value: true, because: 'routes that generate and routes that embed are served side by side' },
  task: { value: true, because: 'routes that generate and routes that embed are served side by side' },
  'disable-log-stats': { value: false, because: 'figures are in /metrics, not in the log' },
}

/** What has no counterpart, and what to do about it. */
export const VLLM_ADVICE: Readonly<Record<string, string>> = {
  'fully-sharded-loras': ONE_DEVICE,
  'api-server-count': 'one process answers, and --tokenizer-processes read long texts: leave it out',
  'tensor-parallel-size': ONE_DEVICE,
  'pipeline-parallel-size': ONE_DEVICE,
  'data-parallel-size': ONE_DEVICE,
  'distributed-executor-backend': ONE_DEVICE,
  'trust-remote-code': 'code of a model folder is never run: leave it out',
  'tool-parser-plugin': 'code of others is never run: name a format of docs/tools.md with --tool-call-parser',
  'reasoning-parser-plugin': 'code of others is never run: name a format of docs/tools.md with --reasoning-parser',
  tokenizer: "the model folder's own tokenizer is used: leave it out",
  'tokenizer-mode': "the model folder's own tokenizer is used: leave it out",
  revision: REVISION,
  'download-dir': "what is fetched lies in the hub's cache: set HF_HUB_CACHE",
  'load-format': 'weights are read from safetensors alone: leave it out',
  'hf-token': 'other users of the machine can read flags: set HF_TOKEN',
  'generation-config': "the model folder's generation_config.json is read: change it there",
  'num-gpu-blocks-override': 'the size of the cache is --pool',
  'swap-space': 'the cache is never swapped out; its size is --pool',
  'cpu-offload-gb': 'weights are never offloaded; --quantization int8 or int4 makes them smaller',
  'uvicorn-log-level': 'what is logged is --log-level',
  'compilation-config': 'the graph is compiled in one way: leave it out; --enforce-eager is for finding faults on CUDA',
  'optimization-level': 'the graph is compiled in one way: leave it out',
  'kv-transfer-config': 'prompts are computed where they are answered: leave it out',
  'hf-overrides': "the model folder's config.json is read: change it there",
  'rope-scaling': "the model folder's config.json is read: change it there",
  'rope-theta': "the model folder's config.json is read: change it there",
  'limit-mm-per-prompt': 'models take text alone: leave it out',
  'response-role': "an answer's role is assistant: leave it out",
  'root-path': 'paths are those of the API: a proxy in front takes its prefix off',
  seed: 'each request brings its own seed: leave it out',
}

/** A flag's parts: `--no-enable-lora=x` is {no: true, name: 'enable-lora', value: 'x'}; undefined for what is no long flag. */
function partsOf(arg: string): { no: boolean; name: string; value?: string } | undefined {
  const match = /^--(no[-_])?([^=]+)(?:=(.*))?$/s.exec(arg)
  return match ? { no: match[1] !== undefined, name: match[2].replaceAll('_', '-'), value: match[3] } : undefined
}

/**
 * Arguments with vLLM's flags as ours. `ours`: vLLM's names and what they are here. `--lora-modules` takes all that follows it up to the next flag, as there. Throws ConfigError for `--no-enable-lora` and its like.
 */
export function fromVllm(args: readonly string[], ours: ReadonlyMap<string, string>): string[] {
  const read: string[] = []
  for (let at = 0; at < args.length; at++) {
    const flag = partsOf(args[at])
    const value = () => flag?.value === undefined && args[at + 1]?.startsWith('--') === false
    const needless = flag && Object.hasOwn(VLLM_NEEDLESS, flag.name) ? VLLM_NEEDLESS[flag.name] : undefined
    const name = flag && ours.get(flag.name)
    if (needless) {
      if (flag?.no || flag?.value === 'false') throw new ConfigError(`${args[at]} cannot be had: ${needless.because}`)
      if (needless.value && value()) at++
    } else if (flag?.name === 'lora-modules') {
      const modules = flag.value === undefined ? [] : [flag.value]
      while (args[at + 1] !== undefined && !args[at + 1].startsWith('--')) modules.push(args[++at])
      if (modules.length === 0) throw new ConfigError('--lora-modules needs a value')
      read.push(...modules.map((module) => `--${name}=${module}`))
    } else if (name !== undefined) {
      read.push(`--${flag?.no ? 'no-' : ''}${name}${flag?.value === undefined ? '' : `=${flag.value}`}`)
    } else read.push(flag ? withDashes(args[at]) : args[at])
  }
  return read
}

/** Its name alone: `--max_model_len=a_b` is `--max-model-len=a_b`. */
const withDashes = (arg: string) => arg.replace(/^[^=]+/, (name) => name.replaceAll('_', '-'))
