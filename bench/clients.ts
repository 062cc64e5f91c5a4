/** Streaming HTTP clients that note when each token came. */
import { Agent, request } from 'node:http'

export interface Timed {
  tokens: number
  /** Milliseconds to the first token, and between the arrivals after it, each divided by the tokens that came together. */
  firstToken: number
  between: number[]
}

export interface Ask {
  model: string
  prompt: number[]
  maxTokens: number
}

/** One streamed completion of exactly maxTokens tokens. */
export function streamCompletion(
  url: string,
  agent: Agent,
  { model, prompt, maxTokens }: Ask,
  { headers = {}, onTokens = () => {} }: { headers?: Record<string, string>; onTokens?: (count: number) => void } = {},
): Promise<Timed> {
  const body = { model, prompt, max_tokens: maxTokens, temperature: 0, ignore_eos: true, stream: true, return_token_ids: true }
  return new Promise((resolve, reject) => {
    const started = performance.now()
    const timed: Timed = { tokens: 0, firstToken: 0, between: [] }
    let last = started
    let rest = ''
    const client = request(`${url}/v1/completions`, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', ...headers },
    })
    client.on('error', reject)
    client.on('response', (response) => {
      response.setEncoding('utf8')
      response.on('data', (data: string) => {
        const now = performance.now()
        const lines = (rest + data).split('\n')
        rest = lines.pop()!
        let came = 0
        for (const line of lines) {
          if (!line.startsWith('data: {')) continue
          const event = JSON.parse(line.slice(6))
          if (event.error) return reject(new Error(event.error.message))
          for (const choice of event.choices) came += choice.token_ids?.length ?? 0
        }
        if (came === 0) return
        if (timed.tokens === 0) timed.firstToken = now - started
        else for (let i = 0; i < came; i++) timed.between.push((now - last) / came)
        timed.tokens += came
        onTokens(came)
        last = now
      })
      response.on('end', () => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}: ${rest}`))
        else if (timed.tokens !== maxTokens) reject(new Error(`${timed.tokens} tokens came instead of ${maxTokens}`))
        else resolve(timed)
      })
    })
    client.end(JSON.stringify(body))
  })
}

/** All at once, each on a connection of its own. */
export async function streamAll(url: string, asks: Ask[]): Promise<{ seconds: number; answers: Timed[] }> {
  const agent = new Agent({ keepAlive: true, maxSockets: asks.length })
  const started = performance.now()
  const answers = await Promise.all(asks.map((ask) => streamCompletion(url, agent, ask)))
  const seconds = (performance.now() - started) / 1000
  agent.destroy()
  return { seconds, answers }
}
