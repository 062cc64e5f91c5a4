/** Settings from every place that they may stand in: one file, since all is held against one table. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { serveHelp } from '../../../server/command-line/commands.ts'
import { configOf, readConfig } from '../../../server/config/config.ts'
import { keyOf, SETTINGS, type SettingName } from '../../../server/config/settings.ts'
import { ConfigError, parseSize } from '../../../server/config/values.ts'
import { VLLM_ADVICE } from '../../../server/config/vllm.ts'
import { temporaryFolder } from '../../support/repo.ts'

const nothing = {}

/** The message of the ConfigError that `args` and `environment` give. */
function complaint(args: string[], environment: Record<string, string> = nothing): string {
  try {
    readConfig(args, environment)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'none'
}

t.test('without anything the defaults hold', async (t) => {
  const config = readConfig([], nothing)
  t.match(config, {
    host: '127.0.0.1',
    port: 8080,
    device: 'auto',
    dtype: 'auto',
    adapterDtype: 'auto',
    kvCacheDtype: 'auto',
    quantization: 'none',
    prefixCache: true,
    adapter: {},
  })
  t.equal(config.model, undefined)
  for (const key of ['pool', 'gpuMemoryUtilization', 'blockSize', 'maxBatchTokens', 'maxSequences', 'enforceEager'] as const)
    t.equal(config[key], undefined, `${key} is left to the device`)
  t.equal(config.threads, undefined, 'by the machine, where the engine is started')
  t.same(configOf({}), config, 'the same as from values')
})

t.test('a flag goes before the environment, the environment before the file, the file before the default', async (t) => {
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  writeFileSync(file, JSON.stringify({ port: 1, pool: '1GiB', 'max-sequences': 3, 'prefix-cache': false }))
  const environment = { LORIKEET_PORT: '2', LORIKEET_POOL: '2GiB', HOME: '/root' }
  const config = readConfig(['--config', file, '--port', '4'], environment)
  t.equal(config.port, 4)
  t.equal(config.pool, 2 * 2 ** 30)
  t.equal(config.maxSequences, 3)
  t.equal(config.prefixCache, false)
  t.equal(config.host, '127.0.0.1')
  t.equal(readConfig([], { ...environment, LORIKEET_CONFIG: file }).maxSequences, 3, 'the file can be named by the environment')
  t.equal(readConfig(['--prefix-cache', '--config', file], nothing).prefixCache, true)
})

t.test('every setting is read from a flag, a variable and the file alike', async (t) => {
  const examples: Record<SettingName, string | string[]> = {
    model: 'm',
    adapters: 'a',
    adapter: 'x=/a/x',
    watch: 'true',
    'allow-adapter-management': 'true',
    'hub-allow': ['org/*'],
    'adapter-roots': ['/a', '/b'],
    'state-dir': '/state',
    'host-memory': '1GiB',
    'max-cpu-loras': '8',
    'max-lora-rank': '64',
    'max-adapter-bytes': '1MiB',
    'metrics-adapters': '20',
    'image-cache': '/cache',
    'image-cache-size': '2GiB',
    'adapter-max-requests': '4',
    'adapter-max-queued': '2',
    'adapter-tokens-per-minute': '1000',
    'rank-order': 'svd',
    'busy-rank': '4',
    'busy-waiting': '8',
    'adapter-tokenizers': 'base',
    'adapter-idle-timeout': '60',
    fairness: 'adapter',
    'tenant-header': 'x-tenant',
    'ttft-target': '2.5',
    'adapter-cluster': '4',
    'kv-events-config': '{"enable_kv_cache_events": true, "endpoint": "tcp://*:5557"}',
    'speculative-config': '{"method": "ngram", "num_speculative_tokens": 4}',
    'served-model-name': 'name',
    host: '::1',
    port: '0',
    pool: '64MiB',
    'gpu-memory-utilization': '0.8',
    'block-size': '32',
    'adapter-frame-size': '4KiB',
    'max-batch-tokens': '256',
    'long-prefill-token-threshold': '64',
    'max-step-ms': '50',
    scheduling: 'priority',
    'max-sequences': '7',
    'max-model-len': '99',
    'max-extra-tokens': '7',
    device: 'cpu',
    dtype: 'float32',
    'adapter-dtype': 'bfloat16',
    'kv-cache-dtype': 'fp8',
    quantization: 'int4',
    'weight-cache': '/weights',
    'weight-cache-size': '8GiB',
    'enforce-eager': 'true',
    'async-scheduling': 'off',
    'step-timeout': '60',
    threads: '3',
    'cpu-affinity': '0',
    'prefix-cache': 'false',
    'chat-template': 't.jinja',
    'tool-call-parser': 'hermes',
    'reasoning-parser': 'qwen3',
    'constraint-timeout': '3',
    'constraint-memory': '300MB',
    'tokenizer-processes': '4',
    'body-limit': '2MB',
    'request-timeout': '7',
    'write-timeout': '9',
    'idle-timeout': '8',
    'api-key': ['k1', 'acme=k2'],
    'api-key-file': 'keys.jsonl',
    'metrics-key': 'k3',
    'admin-port': '9091',
    'admin-host': '::1',
    ui: 'false',
    'cors-origin': ['https://a.example', 'https://b.example'],
    'allowed-hosts': ['a.local'],
    'rate-limit': '60',
    'tenant-max-requests': '4',
    'tenant-max-queued': '2',
    'tenant-tokens-per-minute': '1000',
    'max-connections-per-address': '9',
    'ssl-certfile': 'c.pem',
    'ssl-keyfile': 'k.pem',
    'prefix-cache-scope': 'all',
    'enable-prompt-tokens-details': 'true',
    'trust-request-chat-template': 'false',
    'max-concurrent-requests': '5',
    'max-request-sequences': '9',
    'max-request-tokens': '1000',
    'max-request-logprobs': '500',
    'max-sequences-in-flight': '99',
    'max-logprobs-in-flight': '5000',
    'response-store-size': '1MiB',
    'max-websocket-streams': '3',
    'drain-timeout': '9',
    'log-level': 'debug',
    'enable-log-requests': 'true',
    'enable-log-outputs': 'true',
    'otlp-traces-endpoint': 'http://localhost:4318/v1/traces',
    'max-log-len': '99',
  }
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  for (const [name, value] of Object.entries(examples)) {
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()) as 'port'
    const byFlag = readConfig(
      [value].flat().map((one) => `--${name}=${one}`),
      nothing,
    )[key]
    t.not(byFlag, undefined, name)
    const byVariable = readConfig([], { [`LORIKEET_${name.toUpperCase().replaceAll('-', '_')}`]: String(value) })[key]
    t.same(byVariable, byFlag, `${name} by variable`)
    writeFileSync(file, JSON.stringify({ [name]: value }))
    t.same(readConfig(['--config', file], nothing)[key], byFlag, `${name} by file`)
  }
  t.same(Object.keys(examples).sort(), Object.keys(SETTINGS).sort())
})

t.test('the model folder is the positional argument', async (t) => {
  t.equal(readConfig(['folder', '--port', '1'], nothing).model, 'folder')
  t.equal(readConfig(['--port', '1', 'folder'], { LORIKEET_MODEL: 'other' }).model, 'folder')
  t.match(complaint(['a', 'b']), 'one model folder is served, not 2: a b')
  t.match(complaint(['a', '--model', 'b']), 'one model folder is served, not 2: a b')
})

t.test('adapters by name', async (t) => {
  t.same(readConfig(['--adapter', 'a=/x=y', '--adapter=b=z'], nothing).adapter, { a: '/x=y', b: 'z' })
  t.same(readConfig([], { LORIKEET_ADAPTER: 'a=x,b=y' }).adapter, { a: 'x', b: 'y' })
  t.same(configOf({ adapter: { a: 'x' } }).adapter, { a: 'x' })
  for (const name of ['toString', '__proto__'])
    t.same(Object.entries(readConfig(['--adapter', `${name}=x`], nothing).adapter), [[name, 'x']], 'a name is only a name')
  t.equal(complaint(['--adapter', 'a']), '--adapter must be NAME=DIR, not ["a"]')
  t.match(complaint(['--adapter', 'a=x', '--adapter', 'a=y']), 'names the adapter a twice')
})

t.test('keys, origins and hosts are lists', async (t) => {
  t.same(readConfig(['--api-key', 'a', '--api-key=c'], nothing).apiKey, ['a', 'c'])
  t.equal(complaint(['--api-key', 'a,b']), '--api-key holds a comma: repeat it for each [TENANT=]KEY')
  t.same(readConfig([], { LORIKEET_API_KEY: 'a, acme=b' }).apiKey, ['a', 'acme=b'])
  t.equal(readConfig([], nothing).apiKey, undefined)
  t.match(complaint([], { LORIKEET_API_KEY: 'sk-1,,' }), /^LORIKEET_API_KEY is empty, or one of it is: give \[TENANT=]KEY/)
  t.notMatch(complaint([], { LORIKEET_API_KEY: 'sk-1,,' }), 'sk-1', 'a key is shown nowhere')
})

t.test('a flag given twice is an error unless it says the same', async (t) => {
  t.match(complaint(['--adapters', 'a', '--adapters', 'b']), '--adapters is given twice, with different values')
  t.equal(readConfig(['--port', '1', '--port', '1'], nothing).port, 1)
})

t.test('an unknown name is refused with the nearest known one, wherever it stands', async (t) => {
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  t.equal(complaint(['--max-seqences', '4']), 'unknown flag --max-seqences; did you mean --max-sequences?')
  t.equal(complaint(['--no-prefix-cashe']), 'unknown flag --no-prefix-cashe; did you mean --prefix-cache?')
  t.equal(complaint(['-p', '4']), 'unknown flag -p; see lorikeet serve --help')
  t.equal(
    complaint([], { LORIKEET_BLOCKSIZE: '4' }),
    'unknown environment variable LORIKEET_BLOCKSIZE; did you mean LORIKEET_BLOCK_SIZE?',
  )
  for (const [key, near] of [
    ['maxBatchTokens', 'max-batch-tokens'],
    ['max_batch_tokens', 'max-batch-tokens'],
  ]) {
    writeFileSync(file, JSON.stringify({ [key]: 4 }))
    t.equal(complaint(['--config', file]), `unknown setting in ${file}: ${key}; did you mean ${near}?`)
  }
  writeFileSync(file, '{"constructor": 4}')
  t.match(complaint(['--config', file]), 'unknown setting')
  t.match(complaint(['--constructor', '4']), 'unknown flag')
})

t.test('every switch can be switched on and off, whatever it is by itself', async (t) => {
  const switches = (Object.keys(SETTINGS) as SettingName[]).filter((name) => SETTINGS[name].kind === 'flag')
  t.ok(switches.length > 5)
  for (const name of switches) {
    t.equal(readConfig([`--${name}`], nothing)[keyOf(name)], true, name)
    t.equal(readConfig([`--no-${name}`], nothing)[keyOf(name)], false, `no ${name}`)
    t.equal(readConfig([`--${name}=false`], nothing)[keyOf(name)], false, `${name}=false`)
  }
  t.match(complaint(['--no-port']), '--port needs a value')
})

t.test("vLLM's command line is read", async (t) => {
  const read = (...args: string[]) => readConfig(args, nothing)
  const theirs = read(
    ...[
      '--model',
      'base',
      '--enable-lora',
      '--max-loras',
      '4',
      '--max-lora-rank',
      '64',
      '--max-cpu-loras=100',
      '--max_num_seqs',
      '7',
    ],
    ...[
      '--no-enable-prefix-caching',
      '--enable_chunked_prefill',
      '--disable-log-requests',
      '--enable-auto-tool-choice',
      '--scheduling-policy=priority',
    ],
    ...[
      '--lora-modules',
      'a=x/my_adapter',
      '{"name": "b", "path": "y", "base_model_name": "base"}',
      '--max_num_batched_tokens=99',
    ],
  )
  const { model, maxLoraRank, maxCpuLoras, maxSequences, prefixCache, scheduling, adapter, maxBatchTokens } = theirs
  t.same(
    { model, maxLoraRank, maxCpuLoras, maxSequences, prefixCache, scheduling, adapter, maxBatchTokens },
    {
      ...{ model: 'base', maxLoraRank: 64, maxCpuLoras: 100, maxSequences: 7, prefixCache: false, scheduling: 'priority' },
      ...{ adapter: { a: 'x/my_adapter', b: 'y' }, maxBatchTokens: 99 },
    },
  )
  t.same(read('--lora-modules={"name": "c=d", "path": "z"}', '--lora-modules', 'e=f').adapter, { 'c=d': 'z', e: 'f' })
  t.equal(read('base', '--enable-lora').model, 'base')
  t.match(complaint(['--no-enable-lora']), '--no-enable-lora cannot be had: adapters are always served')
  t.match(complaint(['--lora-modules']), '--lora-modules needs a value')
  t.match(complaint(['--lora-modules', '--enable-lora']), '--lora-modules needs a value')
  for (const wrong of ['{"name": "b"}', '{"path": "b"}', '{', '{"name": "b", "path": "y", "rank": 4}'])
    t.match(complaint(['--lora-modules', wrong]), '--adapter must be NAME=DIR')
  t.match(complaint(['--max-num-seqs', '4', '--max-sequences', '5']), '--max-sequences is given twice')
})

t.test("elsewhere vLLM's names are told ours, and its spellings are understood", async (t) => {
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  t.match(complaint([], { LORIKEET_MAX_NUM_BATCHED_TOKENS: '9' }), "vLLM's max-num-batched-tokens is max-batch-tokens here")
  t.match(complaint([], { LORIKEET_ENABLE_LORA: '1' }), "which is vLLM's: adapters are always served; leave it out")
  writeFileSync(file, '{"lora_modules": "a=x"}')
  t.match(complaint(['--config', file]), "vLLM's lora-modules is adapter here")
  t.equal(readConfig(['--dtype', 'half'], nothing).dtype, 'float16')
  t.equal(readConfig(['--dtype', 'float'], nothing).dtype, 'float32')
  t.equal(readConfig(['--kv-cache-dtype', 'fp8_e4m3'], nothing).kvCacheDtype, 'fp8')
})

t.test("vLLM's flags that have no counterpart are told what to do instead, wherever they stand", async (t) => {
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  for (const [name, advice] of Object.entries(VLLM_ADVICE)) {
    const variable = `LORIKEET_${name.toUpperCase().replaceAll('-', '_')}`
    writeFileSync(file, JSON.stringify({ [name.replaceAll('-', '_')]: true }))
    for (const said of [complaint([`--${name}`, '1']), complaint([], { [variable]: '1' }), complaint(['--config', file])])
      t.ok(said.endsWith(`, which is vLLM's: ${advice}`), said)
    t.notOk(Object.hasOwn(SETTINGS, name), `${name} is none of ours`)
    for (const [flag] of advice.matchAll(/--[a-z-]+/g)) t.ok(Object.hasOwn(SETTINGS, flag.slice(2)), `${flag} is one`)
  }
  for (const name of ['api-server-count', 'tensor-parallel-size']) t.ok(VLLM_ADVICE[name], name)
})

t.test("speculative decoding is asked for in vLLM's form", async (t) => {
  const read = (text: string) => readConfig(['--speculative-config', text], nothing).speculativeConfig
  t.same(read('{"method":"ngram","num_speculative_tokens":4}'), { tokens: 4, shortest: 3, longest: 5 })
  t.same(read('{"method":"ngram","num_speculative_tokens":4,"prompt_lookup_max":2}'), { tokens: 4, shortest: 2, longest: 2 })
  t.same(read('{"method":"ngram","num_speculative_tokens":8,"prompt_lookup_min":7}'), { tokens: 8, shortest: 7, longest: 7 })
  const wrong = (text: string, message: string) =>
    t.match(complaint(['--speculative-config', text]), `--speculative-config${message}`)
  wrong('ngram', ' must be JSON like {"method":"ngram","num_speculative_tokens":4}, not "ngram"')
  wrong('{"method":"eagle","num_speculative_tokens":4}', ': method must be "ngram"')
  wrong('{"method":"ngram"}', ': num_speculative_tokens must be an integer from 1 to 32')
  wrong('{"method":"ngram","num_speculative_tokens":33}', ': num_speculative_tokens must be an integer from 1 to 32, not 33')
  wrong(
    '{"method":"ngram","num_speculative_tokens":2,"prompt_lookup_max":2,"prompt_lookup_min":3}',
    ': prompt_lookup_min must be an integer from 1 to 2',
  )
  wrong(
    '{"method":"ngram","num_speculative_tokens":2,"model":"small"}',
    ' has a key model; there are method, num_speculative_tokens',
  )
})

t.test('seconds beyond what a timer holds are refused', async (t) => {
  const inSeconds = Object.entries(SETTINGS).filter(([, setting]) => 'value' in setting && setting.value === 'SECONDS')
  t.ok(inSeconds.length >= 3)
  for (const [name] of inSeconds) {
    t.match(complaint([`--${name}`, '2147484']), /must be an integer from [01] to 2147483, not "2147484"/)
    t.equal(readConfig([`--${name}`, '2147483'], nothing)[keyOf(name as SettingName)], 2147483)
  }
})

t.test('a wrong value is refused with the place it came from and what would be right', async (t) => {
  const file = path.join(temporaryFolder(t), 'lorikeet.json')
  t.equal(complaint(['--port', '99999']), '--port must be an integer from 0 to 65535, not "99999"')
  for (const wrong of ['a b', 'x-tenant:', 'é', 'Authorization', 'x-api-key'])
    t.equal(
      complaint(['--tenant-header', wrong]),
      `--tenant-header must be a header's name, and none that brings keys, not "${wrong}"`,
    )
  t.equal(complaint(['--max-model-len', '1']), '--max-model-len must be an integer of at least 2, not "1"')
  t.equal(complaint(['--threads', '1.5']), '--threads must be an integer from 1 to 1024, not "1.5"')
  t.equal(complaint([], { LORIKEET_POOL: 'big' }), 'LORIKEET_POOL must be a size like 512MiB or 2GB, not "big"')
  t.equal(complaint([], { LORIKEET_PREFIX_CACHE: 'yes' }), 'LORIKEET_PREFIX_CACHE must be true or false, not "yes"')
  t.equal(complaint(['--device', 'gpu']), '--device must be one of auto, cpu, cuda, not "gpu"')
  t.equal(complaint(['--dtype', 'toString']), '--dtype must be one of auto, float32, float16, bfloat16, not "toString"')
  t.equal(complaint(['--quantization', 'awq']), '--quantization must be one of none, int4, int8, not "awq"')
  for (const wrong of ['0', '1.1', '90', '-0.5', 'x', ''])
    t.equal(
      complaint([`--gpu-memory-utilization=${wrong}`]),
      `--gpu-memory-utilization must be a number above 0 and at most 1, not "${wrong}"`,
    )
  t.equal(readConfig(['--gpu-memory-utilization', '1'], nothing).gpuMemoryUtilization, 1)
  t.equal(complaint(['--host', '']), '--host is empty: give HOST, or leave it out')
  t.equal(complaint(['--host']), '--host needs a value')
  t.equal(complaint(['--adapters', '--port', '80']), '--adapters needs a value')
  t.equal(complaint(['--no-port']), '--port needs a value')
  writeFileSync(file, JSON.stringify({ port: '80x' }))
  t.equal(complaint(['--config', file]), `port in ${file} must be an integer from 0 to 65535, not "80x"`)
  writeFileSync(file, '[]')
  t.match(complaint(['--config', file]), 'must hold a JSON object')
  writeFileSync(file, '{')
  t.match(complaint(['--config', file]), `the config file ${file} cannot be read`)
  t.match(complaint(['--config', `${file}.missing`]), 'cannot be read')
})

t.test("Kubernetes' variables for a service named lorikeet are no settings", async (t) => {
  const environment = {
    LORIKEET_SERVICE_HOST: '10.0.0.1',
    LORIKEET_SERVICE_PORT_HTTP: '80',
    LORIKEET_PORT: 'tcp://10.0.0.1:80',
    LORIKEET_PORT_80_TCP_ADDR: '10.0.0.1',
  }
  t.equal(readConfig([], environment).port, 8080)
})

t.test('sizes', async (t) => {
  t.equal(parseSize('512MiB'), 512 * 2 ** 20)
  t.equal(parseSize('2 GB'), 2e9)
  t.equal(parseSize('1.5g'), 1.5 * 2 ** 30)
  t.equal(parseSize('1024'), 1024)
  for (const wrong of ['', 'MiB', '1 XB', '-1', '1e3', '0x10']) t.equal(parseSize(wrong), undefined, wrong)
  t.match(complaint(['--pool', '0']), 'must be a size')
})

t.test('the help names every setting', async (t) => {
  const help = serveHelp()
  for (const name of Object.keys(SETTINGS)) if (name !== 'model') t.match(help, new RegExp(`--(\\[no-\\])?${name}\\s`))
  const plain = help.replaceAll(/\n +/g, ' ')
  t.match(plain, /--max-batch-tokens N .*\(CPU: 256; CUDA: 2048\)/)
  t.match(plain, /--pool SIZE .*\(CPU: 512MiB; CUDA: what gpu-memory-utilization leaves\)/)
  const headings = help.split('\n').filter((line) => /^[A-Z].*[^.]:$/.test(line))
  t.same(headings.slice(0, 2), ['Listening:', 'Adapters:'])
  t.match(help, /\n {2}--adapters [\s\S]*\nModel and device:\n[\s\S]* --weight-cache [\s\S]*\nBatches and order of service:\n/)
  t.match(help, /\nLimits:\n[\s\S]*--rate-limit/)
  for (const line of serveHelp(100).split('\n')) if (line.startsWith('  ')) t.ok(line.length <= 100, line)
})
