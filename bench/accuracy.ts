/**
 * What the CPU's precisions cost in accuracy: the table of docs/accuracy.md.
 *   oracle      tiny models of every family, alone and with adapters of every method, against transformers + PEFT in float32: the first token's logits, and how many greedy
 *               tokens are kept before the first that differs. LORIKEET_ORACLE=DIR runs make_oracle.py's full output instead of the committed fixtures.
 *   golden      the demo model's recorded greedy answers, base and nine adapters
 *   perplexity  of the demo model on texts of its own kind with prompts that it was not trained on: the base's stories, and each adapter's in its style
 * `node dist/bench/accuracy.js [--only bfloat16,int8] [--texts 40]` (needs python3 for the texts)
 */
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { loadAdapter } from '../adapters-store/index.ts'
import type { AdapterImage } from '../adapters-store/types.ts'
import { startEngine } from '../runtime/index.ts'
import { buildModel } from '../runtime/model/index.ts'
import type { AdapterUse, Engine, SamplingParams, SequenceOutput } from '../runtime/types.ts'
import { ModelTokenizer } from '../server/tokenizer/tokenizer.ts'
import { greedy } from '../test/support/greedy.ts'
import { oracleFamilies } from '../test/support/oracle.ts'
import { oracleLosses } from '../test/support/oracle-losses.ts'
import { demoModel, readJsonLines } from '../test/support/repo.ts'
import { CPU_PRECISIONS, type Precision, precisionsNamed } from './cpu-precisions.ts'
import { heading, quantile, table } from './report.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(CPU_PRECISIONS).join(',') },
    texts: { type: 'string', default: '40' },
  },
})
const BLOCK_SIZE = 16

const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(1)} %`

/** Of every oracle case: the largest error of a logit as a part of the logits' spread, and the tokens that are kept. */
async function oracle(precision: Precision): Promise<string[]> {
  const { errors, kept, tokens, whole } = await oracleLosses(oracleFamilies(), precision)
  const share = (q: number) => `${(100 * quantile(errors, q)).toPrecision(2)} %`
  return [share(0.5), share(1), percent(kept, tokens), `${whole} of ${errors.length}`]
}

/** The demo model with its adapters, and how it is asked. */
class Demo {
  readonly engine: Engine
  private readonly images: Map<string, AdapterImage>

  private constructor(engine: Engine, images: Map<string, AdapterImage>) {
    this.engine = engine
    this.images = images
  }

  static async start(precision: Precision): Promise<Demo> {
    const directory = demoModel('base')
    const model = buildModel(directory)
    const blockBytes = BLOCK_SIZE * model.layers * 2 * model.kvHeads * model.headDim * 4
    const names = ['pirate', 'spanish', 'json', 'shout', 'rhyme', 'headline', 'robot', 'quiz', 'emoji']
    const images = names.map((name) =>
      loadAdapter(name, demoModel('adapters', name), model.base, { dtype: 'float16', blockBytes }),
    )
    const engine = await startEngine({
      modelDir: directory,
      device: 'cpu',
      dtype: 'float32',
      adapterDtype: 'float16',
      poolBytes: 2 ** 28,
      maxBatchTokens: 512,
      maxSequences: 32,
      threads: 2,
      prefixCache: false,
      ...precision,
    })
    for (const image of images) engine.addAdapter(image)
    return new Demo(engine, new Map(images.map((image) => [image.name, image])))
  }

  private uses(model: string): AdapterUse[] {
    const image = this.images.get(model)
    return image ? [{ name: model, digest: image.digest, weight: 1 }] : []
  }

  ask(id: string, model: string, promptIds: number[], sampling: SamplingParams): Promise<SequenceOutput[]> {
    return new Promise((resolve, reject) => {
      const outputs: SequenceOutput[] = []
      this.engine.submit({ id, promptIds, sampling, adapters: this.uses(model), arrival: Date.now() }, (output) => {
        outputs.push(output)
        if (output.error) reject(new Error(output.error.message))
        else if (output.finish) resolve(outputs)
      })
    })
  }
}

interface Golden {
  model: string
  input_ids: number[]
  output_ids: number[]
}

async function golden(demo: Demo): Promise<string[]> {
  const rows = readJsonLines<Golden>(demoModel('golden.jsonl'))
  const answers = await Promise.all(
    rows.map(({ model, input_ids, output_ids }, i) => demo.ask(`golden-${i}`, model, input_ids, greedy(output_ids.length))),
  )
  let [kept, tokens, whole] = [0, 0, 0]
  for (const [i, { output_ids }] of rows.entries()) {
    const got = answers[i].flatMap((output) => output.tokens)
    let agreed = 0
    while (agreed < output_ids.length && got[agreed] === output_ids[agreed]) agreed++
    kept += agreed
    tokens += output_ids.length
    if (agreed === output_ids.length) whole++
  }
  return [percent(kept, tokens), `${whole} of ${rows.length}`]
}

/** A chat in the template's form: the answer is what the model was trained to say. */
interface Text {
  style: string
  prompt: string
  answer: string
}

function textsOf(perStyle: number): Text[] {
  const script = `
import sys, json, random
sys.path.insert(0, sys.argv[1])
import data
rng = random.Random(20261127)
texts = []
for style in data.STYLES:
    for _ in range(int(sys.argv[2])):
        prompt, wanted = data.make_prompt(rng, want_held_out=True, allow_open=False)
        *before, (answer, _) = data.chat_turns([(prompt, data.RENDER[style](data.make_structure(rng, wanted)))])
        texts.append({"style": style, "prompt": "".join(text for text, _ in before), "answer": answer})
json.dump(texts, sys.stdout)`
  const { status, stdout, stderr } = spawnSync(
    'python3',
    ['-B', '-c', script, path.dirname(demoModel('data.py')), String(perStyle)],
    {
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
    },
  )
  if (status !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as Text[]
}

const texts = textsOf(Number(values.texts))
const tokenizer = ModelTokenizer.load(demoModel('base'))
const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })

/** Perplexity of the answers' tokens: the base's, and all adapters' together. */
async function perplexity(demo: Demo): Promise<[number, number]> {
  const sums = { base: { log: 0, tokens: 0 }, adapters: { log: 0, tokens: 0 } }
  await Promise.all(
    texts.map(async ({ style, prompt, answer }, i) => {
      const before = encode(prompt)
      const outputs = await demo.ask(`text-${i}`, style, [...before, ...encode(answer)], { ...greedy(1), promptLogprobs: 0 })
      // The first token has none.
      const logprobs = outputs.flatMap(({ promptLogprobs: rows }) =>
        rows ? [...rows.of.logprob.subarray(rows.from, rows.to)] : [],
      )
      const sum = style === 'base' ? sums.base : sums.adapters
      for (const logprob of logprobs.slice(before.length - 1)) {
        sum.log += logprob
        sum.tokens++
      }
    }),
  )
  return [Math.exp(-sums.base.log / sums.base.tokens), Math.exp(-sums.adapters.log / sums.adapters.tokens)]
}

console.log(heading("Accuracy of the CPU's precisions"))
const rows: string[][] = []
let exact: [number, number] | undefined
for (const [name, precision] of precisionsNamed(values.only)) {
  const logits = await oracle(precision)
  const demo = await Demo.start(precision)
  const answers = await golden(demo)
  const measured = await perplexity(demo)
  await demo.engine.close()
  exact ??= measured
  const shown = measured.map((value, i) => {
    const change = 100 * (value / (exact as number[])[i] - 1)
    return name === 'float32' ? value.toFixed(4) : `${change < 0 ? '−' : '+'}${Math.abs(change).toFixed(2)} %`
  })
  rows.push([name, ...logits, ...answers, ...shown])
}
const head = [
  'weights',
  'oracle: logits err, middle',
  'at most',
  'tokens kept',
  'cases whole',
  'golden: tokens kept',
  'answers whole',
]
console.log(table([...head, 'perplexity, base', 'adapters'], rows))
