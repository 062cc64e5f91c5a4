/** What the server under load is asked before: its models, and its tokenizer. */
import { get as httpGet, request as httpRequest, type IncomingMessage } from 'node:http'
import { get as httpsGet, request as httpsRequest } from 'node:https'
import type { Target } from './request.ts'

type Reach = Pick<Target, 'agent' | 'headers'>

export interface ListedModel {
  id: string
  /** Of an adapter, its base. */
  parent?: string | null
}

/** Throws an Error that names the URL. */
export async function listedModels(url: string, reach: Reach): Promise<ListedModel[]> {
  const { status, text } = await asked(`${url}/v1/models`, reach)
  const wrong = (what: string) => new Error(`${url}/v1/models ${what}`)
  if (status === 401 || status === 403) throw wrong(`answers ${status}: give --api-key, or set OPENAI_API_KEY`)
  if (status !== 200) throw wrong(`answers ${status}`)
  try {
    const { data } = JSON.parse(text) as { data: ListedModel[] }
    if (data.length > 0) return data
  } catch {
    throw wrong('answers what is no list of models')
  }
  throw wrong('lists no model')
}

/** Ids of ordinary tokens, by what the server's tokenizer makes of a text; undefined where it has no /tokenize. */
export async function ordinaryTokens(url: string, reach: Reach, model: string): Promise<number[] | undefined> {
  const { status, text } = await asked(`${url}/tokenize`, reach, { model, prompt: WORDS, add_special_tokens: false })
  if (status !== 200) return undefined
  const { tokens } = JSON.parse(text) as { tokens?: number[] }
  const distinct = [...new Set(tokens)]
  return distinct.length > 1 ? distinct : undefined
}

/** The text of tokens; undefined where the server has no /detokenize. */
export async function textOf(url: string, reach: Reach, model: string, tokens: readonly number[]): Promise<string | undefined> {
  const { status, text } = await asked(`${url}/detokenize`, reach, { model, tokens })
  return status === 200 ? (JSON.parse(text) as { prompt?: string }).prompt : undefined
}

async function asked(url: string, { agent, headers }: Reach, body?: object): Promise<{ status: number; text: string }> {
  const https = url.startsWith('https:')
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    if (body === undefined) {
      ;(https ? httpsGet : httpGet)(url, { agent, headers }, resolve).on('error', reject)
      return
    }
    const payload = Buffer.from(JSON.stringify(body))
    const more = { 'content-type': 'application/json', 'content-length': payload.length, ...headers }
    const client = (https ? httpsRequest : httpRequest)(url, { method: 'POST', agent, headers: more }, resolve)
    client.on('error', reject).end(payload)
  }).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${new URL(url).origin} cannot be reached: ${error.code ?? error.message}`)
  })
  let text = ''
  response.setEncoding('utf8')
  for await (const piece of response) text += piece
  return { status: response.statusCode as number, text }
}

/** Words that any tokenizer has tokens for; prompts are of these, in any order. */
export const WORDS =
  'the house stands by a river and every morning small birds sing about rain while old men walk to work with bread in their hands children play near green trees under light snow ' +
  'nobody knows how many years this town has been here but its streets are wide its market is full of fish apples cloth paper clocks and people who talk of money weather ships war ' +
  'love music doctors laws numbers seven twelve hundred north south winter summer black white red blue open close carry break build answer question letter window table'
