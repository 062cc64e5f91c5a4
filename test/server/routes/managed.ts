/** A server whose adapters may be changed over HTTP, and how its tests speak to it. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import type { Test } from 'tap'
import { goldenRows } from '../../support/openai.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

/** A server with some of the demo's adapters, and a second folder with the others. */
export async function start(
  t: Test,
  settings: Record<string, unknown> = {},
): Promise<Served & { folder: string; more: string; get(route: string): Promise<Answer> }> {
  const folder = path.join(temporaryFolder(t), 'adapters')
  const more = path.join(temporaryFolder(t), 'more')
  for (const [to, names] of [
    [folder, ['pirate', 'spanish']],
    [more, ['robot', 'shout', 'json']],
  ] as const)
    for (const name of names) cpSync(demoModel(`adapters/${name}`), path.join(to, name), { recursive: true })
  const served = await startServed(t, {
    model: demoModel('base'),
    'served-model-name': 'demo',
    adapters: folder,
    'adapter-roots': [more],
    'allow-adapter-management': true,
    ...settings,
  })
  return { ...served, folder, more, get: (route) => ask(served.url, 'GET', route) }
}

export interface Answer {
  status: number
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what the answer holds
  json: any
}

export async function ask(
  url: string,
  method: string,
  route: string,
  body?: object,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const response = await fetch(url + route, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    body: body && JSON.stringify(body),
  })
  const text = await response.text()
  return { status: response.status, text, json: text.startsWith('{') ? JSON.parse(text) : undefined }
}

export const say = (served: Served, model: string, headers: Record<string, string> = {}) =>
  served.post('/v1/completions', { model, prompt: 'Once there was a', max_tokens: 12, temperature: 0 }, headers)

const [row] = goldenRows('pirate')
export const chat = (served: Served, model: string, headers: Record<string, string> = {}, user?: string) =>
  served.post('/v1/chat/completions', { model, messages: row.messages, max_tokens: 16, temperature: 0, user }, headers)
