/** Requests for the eviction simulator: seeded synthetic traffic, and traces recorded elsewhere. */
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { seeded } from '../../test/support/pace.ts'

export interface Request {
  /** -1: the base. */
  adapter: number
  /** Names of the full blocks that it leaves behind, in order; the same name only ever after the same blocks. */
  blocks: string[]
  /** Of these, its prompt's: what may be found. */
  prompt: number
}

export interface Trace {
  name: string
  adapters: number
  requests: Request[]
}

type Random = ReturnType<typeof seeded>

/** Draws ranks 0 to n - 1 with weights 1 / (rank + 1) ** exponent. */
export function zipf(n: number, exponent: number, random: Random): () => number {
  const sums: number[] = []
  let sum = 0
  for (let i = 0; i < n; i++) {
    sum += (i + 1) ** -exponent
    sums.push(sum)
  }
  return () => {
    const at = random.next() * sum
    let [low, high] = [0, n - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle] <= at) low = middle + 1
      else high = middle
    }
    return low
  }
}

const range = (from: number, to: number, random: Random) => from + random.below(to - from + 1)
const run = (name: string, length: number) => Array.from({ length }, (_, i) => `${name}.${i}`)

/** What a request of an adapter with one of its system prompts looks like: the rest of its prompt and its answer are new. */
function withPrompt(adapter: number, prompt: number, length: number, i: number, random: Random): Request {
  const blocks = [...run(`${adapter}/${prompt}`, length), ...run(`${i}`, range(1, 8, random))]
  return { adapter, blocks, prompt: blocks.length - 1 }
}

/** Popular adapters, every prompt new. */
function fresh(exponent: number, count: number, seed: number): Trace {
  const random = seeded(11 + seed)
  const draw = zipf(500, exponent, random)
  const requests = Array.from({ length: count }, (_, i) => {
    const blocks = run(`${i}`, range(4, 24, random))
    return { adapter: draw(), blocks, prompt: blocks.length - 2 }
  })
  return { name: `zipf ${exponent}, prompts all new`, adapters: 500, requests }
}

/** Popular adapters, each with system prompts of its own, more and less popular. */
function prompts(exponent: number, count: number, seed: number): Trace {
  const random = seeded(12 + seed)
  const draw = zipf(300, exponent, random)
  const which = zipf(6, 1, random)
  const requests = Array.from({ length: count }, (_, i) => {
    const [adapter, prompt] = [draw(), which()]
    return withPrompt(adapter, prompt, 8 + ((adapter * 7 + prompt * 13) % 32), i, random)
  })
  return { name: `zipf ${exponent}, adapters × prompts`, adapters: 300, requests }
}

/** The same, and who is popular changes in the course of a day, of which there are three. */
function diurnal(count: number, seed: number): Trace {
  const random = seeded(13 + seed)
  const draw = zipf(300, 1, random)
  const which = zipf(4, 1, random)
  const requests = Array.from({ length: count }, (_, i) => {
    const day = Math.sin((2 * Math.PI * 3 * i) / count)
    const shift = random.next() < 0.5 + day / 2 ? 0 : 150
    const [adapter, prompt] = [(draw() + shift) % 300, which()]
    return withPrompt(adapter, prompt, 16, i, random)
  })
  return { name: 'diurnal, two populations', adapters: 300, requests }
}

/** Popular adapters and prompts, and now and then a batch of 300 long prompts that nobody sends again. */
function scans(count: number, seed: number): Trace {
  const random = seeded(14 + seed)
  const draw = zipf(60, 0.9, random)
  const which = zipf(4, 1, random)
  const requests: Request[] = []
  for (let i = 0; i < count; i++) {
    if (i % 1500 < 300) {
      const blocks = run(`scan ${i}`, range(30, 60, random))
      requests.push({ adapter: 60, blocks, prompt: blocks.length - 1 })
    }
    requests.push(withPrompt(draw(), which(), 24, i, random))
  }
  return { name: 'scans between popular prompts', adapters: 61, requests }
}

/** Conversations: each turn begins with all before it. `active` at a time, who goes on is drawn; some stop, and others come in their place. */
function chats(active: number, turns: number, exponent: number, count: number, seed: number): Trace {
  const random = seeded(15 + seed)
  const draw = zipf(200, exponent, random)
  let begun = 0
  const begin = () => {
    const adapter = draw()
    return { adapter, id: begun++, blocks: run(`${adapter}/system`, 6), pace: 1 + random.below(4) }
  }
  const sessions = Array.from({ length: active }, begin)
  const requests = Array.from({ length: count }, () => {
    let at = random.below(active)
    // Some answer faster than others.
    for (let tries = sessions[at].pace; tries > 1 && random.next() < 0.5; tries--) at = random.below(active)
    const session = sessions[at]
    const asked = session.blocks.length + range(1, 6, random)
    const blocks = [...session.blocks]
    while (blocks.length < asked + range(1, 8, random)) blocks.push(`chat ${session.id}.${blocks.length}`)
    session.blocks = blocks
    if (random.next() < 1 / turns || blocks.length > 200) sessions[at] = begin()
    return { adapter: session.adapter, blocks, prompt: Math.min(asked, blocks.length) }
  })
  return { name: `${active} chats of ${turns} turns`, adapters: 200, requests }
}

/** All adapters in turn, each with a prompt of its own: what was used longest ago is what is wanted next. */
function loop(count: number, seed: number): Trace {
  const random = seeded(16 + seed)
  const requests = Array.from({ length: count }, (_, i) => withPrompt(i % 150, 0, 16, i, random))
  return { name: 'a loop', adapters: 150, requests }
}

/** A working set that moves on: what was used just now is wanted, and what was popular before never again. */
function moving(count: number, seed: number): Trace {
  const random = seeded(17 + seed)
  const requests = Array.from({ length: count }, (_, i) => {
    const adapter = (Math.floor(i / 60) + random.below(30)) % 400
    return withPrompt(adapter, Math.floor(i / 3000), 16, i, random)
  })
  return { name: 'a working set that moves on', adapters: 400, requests }
}

/** Of another `seed` all draws are others. */
export function synthetic(count: number, seed = 0): Trace[] {
  return [
    ...[0.4, 0.6, 0.8, 1, 1.2].map((exponent) => fresh(exponent, count, seed)),
    ...[0.4, 0.8, 1.2].map((exponent) => prompts(exponent, count, seed)),
    diurnal(count, seed),
    scans(count, seed),
    chats(40, 8, 1, count, seed),
    chats(200, 8, 1, count, seed),
    chats(100, 2, 0.8, count, seed),
    loop(count, seed),
    moving(count, seed),
  ]
}

/**
 * A trace in Mooncake's form (https://github.com/kvcache-ai/Mooncake: a JSON object a line, `hash_ids` naming blocks of 512 tokens). It has no adapters: each conversation, known by its second
 * block, or its first if it has no other, is given one of 200 by a hash, the popular more often.
 */
export async function recorded(file: string, name: string, count: number): Promise<Trace> {
  const requests: Request[] = []
  for await (const line of createInterface({ input: createReadStream(file) })) {
    if (requests.length >= count) break
    const { hash_ids: ids, output_length: output } = JSON.parse(line) as { hash_ids: number[]; output_length: number }
    // The same for the same conversation, whatever came before.
    const draw = seeded((ids[1] ?? ids[0]) * 2654435761).next()
    const adapter = Math.floor(200 * draw ** 3)
    const blocks = ids.map((id) => `${adapter}/${id}`)
    for (let i = 0; i < Math.ceil(output / 512); i++) blocks.push(`answer ${requests.length}.${i}`)
    requests.push({ adapter, blocks, prompt: ids.length })
  }
  return { name, adapters: 200, requests }
}
