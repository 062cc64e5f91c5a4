/** `vllm bench serve --lora-modules …` against this server: each request that the client makes, in the order in which it makes them. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { startServed } from '../../support/served.ts'
import { type BenchOutput, chatCompletions, completions } from '../../support/vllm-bench.ts'

const LORA_MODULES = ['pirate', 'json', 'shout']
const PROMPT = 'Once there was a fox who lived near the river'

t.test('it finds the model, and the tokenizer where the model says it lies', async (t) => {
  const { url } = await startServed(t, { device: 'cpu' })
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string; root: string }[] }
  t.equal(data[0].id, 'demo', 'the first is the base')
  // The client gives `root` to transformers as the tokenizer's name.
  t.ok(existsSync(path.join(data[0].root, 'tokenizer.json')))
  t.ok(existsSync(path.join(data[0].root, 'config.json')))
})

t.test('prompts are aligned by /tokenize and /detokenize', async (t) => {
  const { post } = await startServed(t, { device: 'cpu' })
  const tokens = await post('/tokenize', { model: 'demo', prompt: PROMPT, add_special_tokens: false })
  t.equal(tokens.status, 200)
  t.ok(Array.isArray(tokens.body.tokens))
  const text = await post('/detokenize', { model: 'demo', tokens: tokens.body.tokens.slice(0, 5) })
  t.equal(text.status, 200)
  t.ok(PROMPT.startsWith(text.body.prompt), text.body.prompt)
})

t.test('completions and chats on adapters chosen at random, first one, then all at once', async (t) => {
  const { url } = await startServed(t, { device: 'cpu' })
  const apis = {
    completions: (model: string, i: number) =>
      completions({ url, model, prompt: PROMPT, outputLen: 12, ignoreEos: true, requestId: `benchmark-serving${i}` }),
    'completions by token ids': (model: string) =>
      completions({ url, model, prompt: [10, 20, 30, 40], outputLen: 12, ignoreEos: true }),
    chat: (model: string) => chatCompletions({ url, model, prompt: PROMPT, outputLen: 12, ignoreEos: true }),
    'every sampling flag': (model: string) =>
      completions({
        url,
        model,
        prompt: PROMPT,
        outputLen: 12,
        ignoreEos: true,
        logprobs: 1,
        extraBody: {
          top_p: 0.9,
          top_k: 20,
          min_p: 0.05,
          temperature: 0.7,
          frequency_penalty: 0.1,
          presence_penalty: 0.1,
          repetition_penalty: 1.1,
        },
      }),
  }
  for (const [name, ask] of Object.entries(apis)) {
    const ready = await ask('demo', 0)
    t.ok(ready.success, `${name}: the test run`)
    const outputs = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(LORA_MODULES[(i * 7) % 3], i)))
    for (const output of outputs) counted(t, output, name)
    if (name === 'completions by token ids') t.ok(outputs.every(({ promptTokens }) => promptTokens === 4))
  }
})

function counted(
  t: { ok(value: unknown, message: string): void; equal(found: unknown, wanted: unknown, message: string): void },
  output: BenchOutput,
  name: string,
): void {
  t.ok(output.success, name)
  t.equal(output.outputTokens, 12, `${name}: usage comes by itself, behind the last token`)
  t.ok((output.promptTokens ?? 0) > 0, `${name}: prompt tokens`)
  t.ok(output.itl > 0 && output.itl <= 12, `${name}: tokens come one after the other (${output.itl})`)
}

t.test('its other requests: metrics of drafts, the key, and what is not there', async (t) => {
  const { url } = await startServed(t, { device: 'cpu', 'api-key': ['sk-bench'] })
  const ask = (model: string, apiKey?: string) =>
    completions({ url, model, prompt: PROMPT, outputLen: 4, ignoreEos: true, apiKey })
  t.equal((await ask('pirate')).error, 'Unauthorized')
  t.ok((await ask('pirate', 'sk-bench')).success, 'OPENAI_API_KEY goes as bearer')
  t.match(await ask('nobody', 'sk-bench'), { success: false, error: 'Not Found' })
  // Without a key the client takes /metrics for absent.
  t.ok([200, 401].includes((await fetch(`${url}/metrics`)).status))
})
