/**
 * What `vllm bench serve` sends and how it reads what comes, written down from its source (vllm/benchmarks/serve.py and lib/endpoint_request_func.py, main of 2026): fields in their order, aiohttp's headers, its way of
 * cutting a stream. It cannot be installed where these tests run.
 */
import { Agent, request } from 'node:http'

export interface BenchRequest {
  url: string
  model: string
  /** Tokens of the answer. */
  outputLen: number
  ignoreEos?: boolean
  logprobs?: number | null
  requestId?: string
  apiKey?: string
  /** --temperature and its like. */
  extraBody?: Record<string, unknown>
}

export interface BenchOutput {
  success: boolean
  text: string
  /** As usage says, which is all that the client believes. */
  outputTokens?: number
  promptTokens?: number
  /** How many pieces came after the first. */
  itl: number
  /** HTTP's reason where the status is not 200. */
  error?: string
}

interface Chunk {
  choices?: { text?: string; delta?: { content?: string | null } }[]
  usage?: { completion_tokens?: number; prompt_tokens?: number }
}

const agent = new Agent({ keepAlive: true })

export function completions(input: BenchRequest & { prompt: string | number[] }): Promise<BenchOutput> {
  const { model, prompt, outputLen, logprobs = null } = input
  const fixed = {
    model,
    prompt,
    repetition_penalty: 1.0,
    max_tokens: outputLen,
    logprobs,
    stream: true,
    stream_options: { include_usage: true },
  }
  return send(`${input.url}/v1/completions`, fixed, input, ({ text }) => text)
}

export function chatCompletions(input: BenchRequest & { prompt: string }): Promise<BenchOutput> {
  const { model, prompt, outputLen } = input
  const messages = [{ role: 'user', content: [{ type: 'text', text: prompt }] }]
  const fixed = { model, messages, max_completion_tokens: outputLen, stream: true, stream_options: { include_usage: true } }
  // A chunk without a delta would be a KeyError there.
  return send(`${input.url}/v1/chat/completions`, fixed, input, ({ delta }) => (delta as { content?: string }).content)
}

/** aiohttp's: in its order and capitals, and nothing that it does not send. */
function headersOf(body: Buffer, { apiKey, requestId }: BenchRequest): Record<string, string | number> {
  return {
    ...(apiKey && { Authorization: `Bearer ${apiKey}` }),
    ...(requestId && { 'x-request-id': requestId }),
    Accept: '*/*',
    'Accept-Encoding': 'gzip, deflate',
    'User-Agent': 'Python/3.12 aiohttp/3.12.15',
    'Content-Length': body.length,
    'Content-Type': 'application/json',
  }
}

function send(
  url: string,
  fixed: Record<string, unknown>,
  input: BenchRequest,
  textOf: (choice: NonNullable<Chunk['choices']>[number]) => string | null | undefined,
): Promise<BenchOutput> {
  const body = Buffer.from(JSON.stringify({ ...fixed, ...(input.ignoreEos && { ignore_eos: true }), ...input.extraBody }))
  return new Promise((resolve, reject) => {
    const client = request(url, { method: 'POST', agent, headers: headersOf(body, input) })
    client.on('error', reject)
    client.on('response', (response) => {
      const output: BenchOutput = { success: false, text: '', itl: -1 }
      const handler = new StreamedResponse()
      response.on('data', (piece: Buffer) => {
        if (response.statusCode !== 200) return
        try {
          for (const message of handler.add(piece)) {
            if (message.startsWith(':')) continue
            const data = message.replace(/^data: /, '')
            if (data === '[DONE]') continue
            const { choices, usage } = JSON.parse(data) as Chunk
            if (choices && choices.length > 0) {
              output.itl++
              output.text += textOf(choices[0]) ?? ''
            } else if (usage) {
              output.outputTokens = usage.completion_tokens
              output.promptTokens = usage.prompt_tokens
            }
          }
        } catch (error) {
          reject(error)
        }
      })
      response.on('end', () => {
        if (response.statusCode !== 200) resolve({ ...output, error: response.statusMessage })
        else resolve({ ...output, success: output.itl >= 0 })
      })
    })
    client.end(body)
  })
}

/** Its buffer: pieces lose the blanks at their ends, a blank line ends a message, and what is whole JSON is a message without one. */
class StreamedResponse {
  private buffer = ''
  private readonly decoder = new TextDecoder()

  add(piece: Buffer): string[] {
    const trimmed = piece.toString('latin1').trim()
    if (trimmed === '') return []
    this.buffer += this.decoder.decode(Buffer.from(trimmed, 'latin1'), { stream: true })
    const messages: string[] = []
    for (let at = this.buffer.indexOf('\n\n'); at >= 0; at = this.buffer.indexOf('\n\n')) {
      const message = this.buffer.slice(0, at).trim()
      this.buffer = this.buffer.slice(at + 2)
      if (message !== '') messages.push(message)
    }
    if (this.buffer.startsWith('data: ')) {
      const content = this.buffer.slice(6).trim()
      if (content === '[DONE]' || isJson(content)) {
        messages.push(this.buffer.trim())
        this.buffer = ''
      }
    }
    return messages
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return text !== ''
  } catch {
    return false
  }
}
