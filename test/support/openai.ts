/** The official client against a server of this process, and the demo model's recorded answers. */
import OpenAI from 'openai'
import { demoModel, readJsonLines } from './repo.ts'
import type { Served } from './served.ts'

export function openaiClient(served: Served, headers: Record<string, string> = {}): OpenAI {
  return new OpenAI({ baseURL: `${served.url}/v1`, apiKey: 'none', maxRetries: 0, defaultHeaders: headers })
}

export interface GoldenRow {
  model: string
  messages: { role: 'user'; content: string }[]
  input_ids: number[]
  output_ids: number[]
  text: string
  finish: 'stop' | 'length'
  min_margin: number
}

/** Greedy answers of the base (served as `demo`) and the adapters that no rounding can change. */
export function goldenRows(model: string): GoldenRow[] {
  const rows = readJsonLines<GoldenRow>(demoModel('golden.jsonl'))
  return rows
    .filter((row) => row.model === model && row.min_margin >= 0.5)
    .map((row) => ({ ...row, model: model === 'base' ? 'demo' : model }))
}

/** All chunks of a stream. */
export async function chunksOf<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const chunks: T[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}
