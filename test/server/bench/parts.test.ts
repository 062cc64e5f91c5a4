/** The load generator's parts by themselves: events in pieces, what is drawn, what is told, the command line. */
import t from 'tap'
import { benchOptions } from '../../../server/bench/options.ts'
import { gamma, ranked, seeded } from '../../../server/bench/random.ts'
import { percentile } from '../../../server/bench/results.ts'
import { EventData } from '../../../server/bench/sse.ts'
import { workload } from '../../../server/bench/workload.ts'

const URL = 'http://localhost:8080'

t.test('events are the same wherever the stream is cut', async (t) => {
  const text = ': ping\n\ndata: {"a":1}\n\ndata:{"b":2}\r\n\r\nevent: x\ndata: one\ndata: two\n\nid: 7\n\ndata: [DONE]\n\n'
  const wanted = ['{"a":1}', '{"b":2}', 'one\ntwo', '[DONE]']
  t.same(new EventData().push(text), wanted)
  for (let size = 1; size < 20; size++) {
    const events = new EventData()
    const found: string[] = []
    for (let at = 0; at < text.length; at += size) found.push(...events.push(text.slice(at, at + size)))
    t.same(found, wanted, `pieces of ${size}`)
  }
  t.same(new EventData().push('data: half'), [])
})

t.test('times between requests have the mean and the spread of their distribution', async (t) => {
  for (const shape of [0.3, 1, 5]) {
    const random = seeded(7)
    const values = Array.from({ length: 40_000 }, () => gamma(shape, random))
    const mean = values.reduce((a, b) => a + b) / values.length
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length
    t.ok(Math.abs(mean / shape - 1) < 0.04, `mean ${mean} of ${shape}`)
    t.ok(Math.abs(variance / shape - 1) < 0.08, `variance ${variance} of ${shape}`)
  }
})

t.test('a power law is one, and a skew of 0 is uniform', async (t) => {
  const count = (skew: number) => {
    const draw = ranked(8, skew, seeded(3))
    const counts = new Array(8).fill(0)
    for (let i = 0; i < 80_000; i++) counts[draw()]++
    return counts
  }
  const [even, skewed] = [count(0), count(1)]
  for (const n of even) t.ok(Math.abs(n / 10_000 - 1) < 0.05)
  for (let k = 1; k < 8; k++) t.ok(Math.abs(skewed[0] / skewed[k] / (k + 1) - 1) < 0.1, `${skewed[0]} and ${skewed[k]}`)
})

t.test('percentiles are those of numpy', async (t) => {
  // numpy.percentile([1, 2, 3, 4, 10], [0, 25, 50, 90, 99, 100])
  const values = Float64Array.of(1, 2, 3, 4, 10)
  for (const [p, value] of [
    [0, 1],
    [25, 2],
    [50, 3],
    [90, 7.6],
    [99, 9.76],
    [100, 10],
  ])
    t.ok(Math.abs(percentile(values, p) - value) < 1e-12, `${p}`)
  t.equal(percentile(new Float64Array(0), 99), 0)
})

t.test("vllm bench serve's command line is understood", async (t) => {
  const line =
    '--backend openai-chat --base-url http://localhost:8000/ --dataset-name random --random-input-len 10 --random_output_len=5 --num-prompts 7 ' +
    '--lora-modules a b c --lora-assignment round-robin --request-rate inf --max-concurrency 3 --percentile-metrics e2el,ttft --metric-percentiles 50,99.9 ' +
    '--goodput ttft:100 tpot:20 --save-result --result-filename x.json --metadata gpu=none --seed 4 --disable-tqdm --tokenizer some/where --header a=b c=d'
  const options = benchOptions(line.split(' '), { OPENAI_API_KEY: 'sk' })
  t.match(options, {
    url: 'http://localhost:8000',
    endpoint: '/v1/chat/completions',
    inputLen: 10,
    outputLen: 5,
    prompts: 7,
    loraModules: ['a', 'b', 'c'],
    assignment: 'round-robin',
    rate: Number.POSITIVE_INFINITY,
    concurrency: 3,
    metrics: ['ttft', 'e2el'],
    percentiles: [50, 99.9],
    goodput: { ttft: 100, tpot: 20 },
    save: { filename: 'x.json', detailed: false },
    metadata: { gpu: 'none' },
    seed: 4,
    headers: { authorization: 'Bearer sk', a: 'b', c: 'd' },
    body: { ignore_eos: true },
  })
  t.equal(benchOptions([URL, '--api-key', 'mine'], { OPENAI_API_KEY: 'sk' }).headers.authorization, 'Bearer mine')
  const wrong: [string, RegExp][] = [
    ['', /give the URL of a server/],
    [`${URL} ${URL}`, /one server is asked, not 2/],
    ['localhost:8080', /must be a URL like/],
    [`${URL} --num-prompt 3`, /unknown flag --num-prompt; did you mean --num-prompts\?/],
    [`${URL} --request-rate 0`, /must be inf or more than 0/],
    [`${URL} --request-rate -1`, /must be inf or requests a second/],
    [`${URL} --backend tgi`, /--backend must be one of openai, vllm, openai-chat/],
    [`${URL} --goodput ttft=3`, /must be ttft:MS/],
    [`${URL} --percentile-metrics speed`, /some of ttft,tpot,itl,e2el/],
    [`${URL} --metric-percentiles 101`, /numbers from 0 to 100/],
    [`${URL} --adapters 2 --lora-modules a`, /leave one of them out/],
    [`${URL} --lora-modules --seed 1`, /--lora-modules needs a value/],
    [`${URL} --extra-body [1]`, /a JSON object/],
  ]
  for (const [line, message] of wrong) t.throws(() => benchOptions(line.split(' ').filter(Boolean), {}), { message }, line)
})

t.test('the same seed asks the same, and lengths and times are as asked for', async (t) => {
  const options = (more = '') =>
    benchOptions(
      `${URL} --num-prompts 500 --request-rate 50 --random-input-len 40 --random-output-len 20 --random-range-ratio 0.5 ${more}`
        .trim()
        .split(' '),
      {},
    )
  const tokens = [5, 6, 7, 8]
  const [one, two, other] = [
    workload(options(), ['a', 'b'], tokens),
    workload(options(), ['a', 'b'], tokens),
    workload(options('--seed 9'), ['a', 'b'], tokens),
  ]
  t.equal(JSON.stringify(one), JSON.stringify(two))
  t.not(JSON.stringify(one), JSON.stringify(other))
  for (const { prompt, promptTokens, outputTokens } of one) {
    if (prompt.length !== promptTokens || promptTokens < 20 || promptTokens > 60 || outputTokens < 10 || outputTokens > 30)
      t.fail('a length')
  }
  t.ok(Math.abs(one[499].at - 10_000) < 1e-6, 'the last is due when all should have been')
  t.ok(one.every(({ at }, i) => i === 0 || at >= one[i - 1].at))
  const robin = workload(options('--lora-assignment round-robin'), ['a', 'b', 'c'], tokens)
  t.same(
    robin.slice(0, 4).map(({ model }) => model),
    ['a', 'b', 'c', 'a'],
  )
  t.type(workload(options(), ['a'], undefined)[0].prompt, 'string')
})
