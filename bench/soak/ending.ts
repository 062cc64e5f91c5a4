/** SIGTERM in the middle of traffic: every open stream gets its end or an error event, every whole request an answer. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Ask, type Got, politeAsk, type Random, STYLES, send } from './clients.ts'
import type { SoakServer } from './server.ts'

/** Milliseconds before the signal in which no request begins: one that is on its way when the port closes has not arrived. */
const ARRIVED = 500
const REQUESTS = 60

export interface Ending {
  seconds: number
  code: number | null
  /** Of answers, by what became of them. */
  outcomes: Map<string, number>
  complaints: string[]
}

/** Half of them are so long that the drain timeout comes first. */
function askFor(random: Random, i: number): Ask {
  if (i % 2) return politeAsk(random)
  const body = {
    model: random.pick(STYLES),
    prompt: 'Once there was a',
    max_tokens: 900,
    ignore_eos: true,
    n: 4,
    stream: i % 4 === 0,
  }
  return { path: '/v1/completions', body }
}

function outcome({ body }: Ask, { status, text, whole }: Got): string {
  const stream = (body as { stream?: boolean } | undefined)?.stream === true
  if (!whole) return 'cut'
  if (stream && status === 200) {
    if (!text.endsWith('data: [DONE]\n\n')) return 'a stream without an end'
    return text.includes('data: {"error"') ? 'stream ended by an error event' : 'stream to its end'
  }
  if (status === 200) return 'whole answer'
  try {
    const { error } = JSON.parse(text)
    if (typeof error.message === 'string' && status === 503) return 'whole request told 503'
  } catch {
    // Falls through to the complaint.
  }
  return `status ${status}`
}

const FINE = ['stream ended by an error event', 'stream to its end', 'whole answer', 'whole request told 503']

export async function endInTraffic(server: SoakServer, random: Random): Promise<Ending> {
  const outcomes = new Map<string, number>()
  const complaints: string[] = []
  const asked = Array.from({ length: REQUESTS }, async (_, i) => {
    await sleep(random.below(2000))
    const ask = askFor(random, i)
    const got = await send(server.url, ask).catch((error: Error): Got => ({ status: 0, text: error.message, whole: false }))
    const became = outcome(ask, got)
    outcomes.set(became, (outcomes.get(became) ?? 0) + 1)
    if (!FINE.includes(became))
      complaints.push(
        `${became}: ${ask.path} ${JSON.stringify(ask.body)?.slice(0, 200)} got ${got.status} ${JSON.stringify(got.text.slice(-200))}`,
      )
  })
  await sleep(2000 + ARRIVED)
  const { code, signal, seconds } = await server.terminate()
  await Promise.all(asked)
  if (code !== 0) complaints.push(`it ended with ${code ?? signal}`)
  return { seconds, code, outcomes, complaints }
}
