/** Flags of `lorikeet bench`: `vllm bench serve`'s names and defaults, where there is one of the kind. */
import type { Setting } from '../config/setting.ts'

export const METRICS = ['ttft', 'tpot', 'itl', 'e2el'] as const
export type MetricName = (typeof METRICS)[number]

const POSITIVE = '\\d*\\.?\\d+'

export const BENCH_SETTINGS = {
  'base-url': { kind: 'text', value: 'URL', help: 'where the server is; the same as the URL without a flag' },
  endpoint: {
    kind: 'choice',
    choices: ['/v1/completions', '/v1/chat/completions'],
    fallback: '/v1/completions',
    help: 'what is asked',
  },
  model: {
    kind: 'text',
    value: 'NAME',
    help: 'what requests name where no adapters are given; the first that the server lists if absent',
  },
  'lora-modules': { kind: 'texts', value: 'NAME', help: 'adapters that requests name instead; several may follow the flag' },
  'lora-assignment': {
    kind: 'choice',
    choices: ['random', 'round-robin'],
    fallback: 'random',
    help: 'which request names which adapter',
  },
  adapters: {
    kind: 'integer',
    value: 'N',
    minimum: 1,
    help: 'the first N adapters that the server lists, instead of lora-modules',
  },
  'adapter-distribution': {
    kind: 'choice',
    choices: ['uniform', 'power-law'],
    fallback: 'uniform',
    help: 'how popular adapters are that are assigned at random; power-law: the k-th is asked for in proportion to 1 / k^adapter-skew',
  },
  'adapter-skew': { kind: 'decimal', value: 'A', fallback: 1, maximum: 10, help: 'exponent of the power law' },
  'num-prompts': { kind: 'integer', value: 'N', minimum: 1, maximum: 10_000_000, fallback: 1000, help: 'requests' },
  'num-warmups': { kind: 'integer', value: 'N', minimum: 0, fallback: 0, help: 'requests before that, which do not count' },
  'request-rate': {
    kind: 'text',
    value: 'R|inf',
    fallback: 'inf',
    pattern: [new RegExp(`^(inf|${POSITIVE})$`), 'inf or requests a second'],
    help: 'requests a second, whatever the server does; inf: all at once',
  },
  burstiness: {
    kind: 'decimal',
    value: 'B',
    fallback: 1,
    maximum: 1e6,
    help: 'shape of the gamma distribution of the times between requests: 1 is a Poisson process, more is more even',
  },
  'max-concurrency': { kind: 'integer', value: 'N', minimum: 1, help: 'requests in flight at most; if absent, any number' },
  'random-input-len': { kind: 'integer', value: 'N', minimum: 1, fallback: 1024, help: 'tokens of a prompt' },
  'random-output-len': { kind: 'integer', value: 'N', minimum: 1, fallback: 128, help: 'tokens of an answer' },
  'random-range-ratio': {
    kind: 'text',
    value: 'X',
    fallback: '0',
    pattern: [/^0?\.\d+$|^0$/, 'a number from 0 to below 1'],
    help: 'both lengths are drawn from [len × (1 − X), len × (1 + X)]',
  },
  'ignore-eos': { kind: 'flag', fallback: true, help: 'answers are as long as asked for' },
  temperature: {
    kind: 'text',
    value: 'T',
    pattern: [new RegExp(`^${POSITIVE}$`), 'a number of at least 0'],
    help: "of requests; the server's default if absent",
  },
  'extra-body': {
    kind: 'text',
    value: 'JSON',
    pattern: [/^\s*\{[\s\S]*\}\s*$/, 'a JSON object'],
    help: 'further fields of each request',
  },
  header: { kind: 'texts', value: 'NAME=VALUE', help: 'a header of each request; several may follow the flag' },
  'api-key': {
    kind: 'text',
    value: 'KEY',
    secret: true,
    help: 'a key that is sent as bearer; if absent, what OPENAI_API_KEY holds',
  },
  insecure: { kind: 'flag', fallback: false, help: 'take any certificate' },
  seed: {
    kind: 'integer',
    value: 'N',
    minimum: 0,
    maximum: 2 ** 32 - 1,
    fallback: 0,
    help: 'of prompts, lengths, times and adapters',
  },
  goodput: {
    kind: 'texts',
    value: 'METRIC:MS',
    help: 'targets (ttft, tpot, e2el) that a request must meet to be good; several may follow the flag',
  },
  'percentile-metrics': {
    kind: 'text',
    value: 'LIST',
    fallback: 'ttft,tpot,itl',
    help: `which times are told: ${METRICS.join(', ')}, with commas`,
  },
  'metric-percentiles': { kind: 'text', value: 'LIST', fallback: '99', help: 'which percentiles of them, with commas' },
  'save-result': { kind: 'flag', fallback: false, help: "write the results as JSON, with vLLM's keys" },
  'save-detailed': { kind: 'flag', fallback: false, help: 'with those of each request' },
  'result-dir': { kind: 'text', value: 'DIR', help: 'folder of the file; the current one if absent' },
  'result-filename': { kind: 'text', value: 'FILE', help: 'its name; if absent, of the rate, the model and the time' },
  label: { kind: 'text', value: 'NAME', help: "begins the file's name, and stands in it" },
  metadata: { kind: 'texts', value: 'KEY=VALUE', help: 'further keys of the file; several may follow the flag' },
} as const satisfies Record<string, Setting>

/** Those that take all that follows up to the next flag, as argparse's nargs. */
export const SEVERAL = ['lora-modules', 'header', 'goodput', 'metadata']

/** vLLM's that need nothing here, and whether they take a value. */
export const PASSED_OVER: Readonly<Record<string, { value: boolean }>> = {
  'disable-tqdm': { value: false },
  tokenizer: { value: true },
  'tokenizer-mode': { value: true },
  'trust-remote-code': { value: false },
  'ready-check-timeout-sec': { value: true },
  'skip-tokenizer-init': { value: false },
}

/** vLLM's other spellings: [flag, value] as ours. */
export const SPELLED: Readonly<Record<string, Readonly<Record<string, readonly [string, string] | undefined>>>> = {
  backend: {
    openai: undefined,
    vllm: undefined,
    'openai-chat': ['endpoint', '/v1/chat/completions'],
  },
  'dataset-name': { random: undefined },
}
