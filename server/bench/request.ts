/** One streamed request, timed as `vllm bench serve` times it. node:http rather than fetch: a pool of connections of a size that is said, and a third of the cost for each piece of a stream. */
import { type Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { EventData } from './sse.ts'

export interface Outcome {
  /** The model or adapter that was asked for. */
  model: string
  /** As usage says; where nobody says it, the tokens that were sent and the pieces that came. */
  promptTokens: number
  outputTokens: number
  /** Milliseconds since the run began. */
  startedAt: number
  /** Milliseconds to the first piece; between pieces; to the last one. */
  ttft: number
  itl: number[]
  latency: number
  text: string
  /** Why it failed, the same for the same reason: `429 rate_limited`. */
  error?: string
  /** What the server said of it. */
  detail?: string
}

export interface Target {
  url: string
  agent: Agent
  headers: Record<string, string>
}

interface StreamedChunk {
  choices?: { text?: string; delta?: { role?: string; content?: string | null; reasoning_content?: string | null } }[]
  usage?: { prompt_tokens?: number; completion_tokens?: number } | null
  error?: { message?: string; code?: string | number | null; type?: string }
}

/** Never rejects. `body` is JSON whose `stream` is true; `began`: of the run, on performance's clock. */
export function stream(
  { url, agent, headers }: Target,
  body: { model: string },
  promptTokens: number,
  id: string,
  began: number,
): Promise<Outcome> {
  const send = url.startsWith('https:') ? httpsRequest : httpRequest
  const payload = Buffer.from(JSON.stringify(body))
  return new Promise((resolve) => {
    const started = performance.now()
    const outcome: Outcome = {
      model: body.model,
      promptTokens,
      outputTokens: 0,
      startedAt: started - began,
      ttft: 0,
      itl: [],
      latency: 0,
      text: '',
    }
    const fail = (error: string, detail?: string) => resolve({ ...outcome, error, detail })
    const client = send(url, {
      method: 'POST',
      agent,
      headers: { 'content-type': 'application/json', 'content-length': payload.length, 'x-request-id': id, ...headers },
    })
    client.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message, error.message))
    client.on('response', (response) => {
      if (response.statusCode !== 200) return void refusal(response).then(([name, detail]) => fail(name, detail))
      read(response, outcome, started).then(resolve, (error: Error) => fail(error.message))
    })
    client.end(payload)
  })
}

function read(response: IncomingMessage, outcome: Outcome, started: number): Promise<Outcome> {
  const events = new EventData()
  let last = 0
  let usage: StreamedChunk['usage']
  let done = false
  response.setEncoding('utf8')
  return new Promise((resolve) => {
    response.on('data', (piece: string) => {
      const now = performance.now()
      for (const data of events.push(piece)) {
        if (data === '[DONE]') {
          done = true
          continue
        }
        let chunk: StreamedChunk
        try {
          chunk = JSON.parse(data) as StreamedChunk
        } catch {
          outcome.error ??= 'the stream holds what is no JSON'
          continue
        }
        if (chunk.error) {
          outcome.error ??= String(chunk.error.code ?? chunk.error.type ?? 'error')
          outcome.detail ??= chunk.error.message
        }
        usage = chunk.usage ?? usage
        const choice = chunk.choices?.[0]
        if (!choice || (last === 0 && opens(choice))) continue
        if (last === 0) outcome.ttft = now - started
        else outcome.itl.push(now - last)
        last = now
        outcome.text += choice.text ?? choice.delta?.content ?? choice.delta?.reasoning_content ?? ''
      }
    })
    response.on('close', () => {
      if (last === 0) outcome.error ??= 'no token came'
      else if (!done) outcome.error ??= 'the stream ended early'
      outcome.latency = Math.max(0, last - started)
      outcome.promptTokens = usage?.prompt_tokens ?? outcome.promptTokens
      outcome.outputTokens = usage?.completion_tokens ?? outcome.itl.length + 1
      resolve(outcome)
    })
  })
}

/** The first piece of a chat that says who speaks, and nothing yet. */
const opens = ({ delta }: NonNullable<StreamedChunk['choices']>[number]) =>
  delta?.role !== undefined && !delta.content && !delta.reasoning_content

/** What an answer other than 200 is called, and what it says. */
async function refusal(response: IncomingMessage): Promise<[name: string, detail: string | undefined]> {
  let text = ''
  response.setEncoding('utf8')
  try {
    for await (const piece of response) text += piece
    const { error } = JSON.parse(text) as StreamedChunk
    const code = error?.code ?? error?.type
    return [
      `${response.statusCode}${code === undefined || code === null || String(code) === String(response.statusCode) ? '' : ` ${code}`}`,
      error?.message,
    ]
  } catch {
    return [String(response.statusCode), text.slice(0, 200) || undefined]
  }
}
