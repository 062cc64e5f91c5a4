/**
 * Screenshots of the page for docs/: the demo model with its adapters and some two hundred more names of one, under load. `node dist/bench/ui-pictures.js [--out docs/img]`; needs Chromium.
 */
import { setMaxListeners } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { Page } from 'playwright-core'
import { openBrowser } from '../test/support/browser.ts'
import { demoModel } from '../test/support/repo.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { sleep } from './report.ts'
import { startServer } from './server-process.ts'

const { values } = parseArgs({ options: { out: { type: 'string', default: 'docs/img' } } })
mkdirSync(values.out, { recursive: true })
const TENANTS = ['acme', 'umbrella', 'initech', 'hooli']
const MANY = 240
const names = ['pirate', 'spanish', 'robot', 'shout', 'json', 'emoji']

const work = mkdtempSync(path.join(tmpdir(), 'lorikeet-pictures-'))
const adapters = path.join(work, 'adapters')
cpSync(demoModel('adapters'), adapters, { recursive: true })
const server = await startServer([
  ...[demoModel('base'), '--served-model-name', 'demo', '--adapters', adapters, '--allow-adapter-management'],
  ...['--adapter-roots', manyAdapters('small', demoModel('adapters/json'), MANY), '--pool', '96MiB'],
  ...['--scheduling', 'fair', '--tenant-header', 'x-tenant', '--max-concurrent-requests', '600', '--max-sequences', '48'],
])
const post = (route: string, body: object, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(server.url + route, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
    signal,
  })
const folder = manyAdapters('small', demoModel('adapters/json'), MANY)
for (let i = 0; i < MANY; i++)
  await (await post('/adapters', { name: folderOf(i), src: path.join(folder, folderOf(i)), preload: false })).text()
for (let i = 0; i < 150; i++) await (await post('/v1/completions', { model: folderOf(i), prompt: 'Once', max_tokens: 1 })).text()
const pinned = await post('/adapters', { name: 'pirate', src: path.join(adapters, 'pirate'), pin: true, replace: true })
if (!pinned.ok) throw new Error(await pinned.text())
cpSync(path.join(adapters, 'robot'), path.join(adapters, 'pirate-next'), { recursive: true })
await (await post('/adapters', { name: 'pirate', src: path.join(adapters, 'pirate-next'), canary: 0.2 })).text()

const ended = new AbortController()
setMaxListeners(0, ended.signal)
let asked = 0
/** Like somebody's traffic: some adapters are asked for more than others, and not always by as many. */
async function client(i: number): Promise<void> {
  while (!ended.signal.aborted) {
    const one = asked++
    const skewed = Math.floor(names.length * ((one * 0.618) % 1) ** 2)
    const model = i % 4 === 0 ? folderOf(Math.floor(60 * ((one * 0.382) % 1) ** 2)) : names[skewed]
    const prompt = Array.from({ length: 30 + ((one * 37) % 120) }, (_, k) => 20 + ((k * 31 + (one % 9) * 7) % 1400))
    const body = { model, prompt, max_tokens: 60 + ((one * 29) % 90), ignore_eos: true, user: `user-${i % 20}` }
    await post('/v1/completions', body, { 'x-tenant': TENANTS[i % TENANTS.length] }, ended.signal).then(
      (answer) => answer.text(),
      () => {},
    )
    await sleep(40 + ((one * 53) % 400))
  }
}
const browser = await openBrowser()
const open = async (view: string, colorScheme: 'light' | 'dark', width: number, height: number): Promise<Page> => {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, deviceScaleFactor: width < 500 ? 2 : 1 })
  const page = await context.newPage()
  page.on('pageerror', (error) => console.log(error))
  page.on('console', (message) => message.type() === 'error' && console.log(message.text()))
  await page.goto(`${server.url}/ui/#${view}`)
  await page.locator('#link[data-state=live]').waitFor()
  return page
}
const shoot = async (page: Page, name: string, fullPage = false) => {
  await page.screenshot({ path: path.join(values.out, `${name}.png`), fullPage })
  console.log(`${values.out}/${name}.png`)
}
try {
  const clients = Array.from({ length: 64 }, (_, i) => client(i))
  const pool = await open('pool', 'light', 1280, 860)
  const dark = await open('pool', 'dark', 1280, 860)
  const phone = await open('pool', 'light', 390, 844)
  await sleep(45_000)
  await shoot(pool, 'ui-pool')
  await dark.getByRole('radio', { name: 'Adapter' }).first().click()
  await sleep(300)
  await shoot(dark, 'ui-pool-dark')
  await shoot(phone, 'ui-phone', true)
  await pool.getByRole('tab', { name: 'Adapters' }).click()
  await sleep(6000)
  await shoot(pool, 'ui-adapters')
  await pool.getByRole('button', { name: 'Open pirate', exact: true }).click()
  await sleep(500)
  await shoot(pool, 'ui-adapter')
  await phone.getByRole('tab', { name: 'Adapters' }).click()
  await sleep(2500)
  await shoot(phone, 'ui-phone-adapters')
  ended.abort()
  await Promise.all(clients)
  await dark.getByRole('tab', { name: 'Playground' }).click()
  const lanes = dark.locator('.lane')
  await lanes.nth(2).waitFor()
  for (const [lane, name] of [
    [1, 'json'],
    [2, 'spanish'],
  ] as const) {
    await lanes.nth(lane).getByRole('button', { name: /^Take/ }).click()
    await lanes.nth(lane).getByRole('combobox').fill(name)
    await lanes.nth(lane).getByRole('combobox').press('Enter')
  }
  await lanes.nth(2).getByRole('combobox').fill('shout')
  await lanes.nth(2).getByRole('combobox').press('Enter')
  await lanes.nth(2).getByRole('slider').first().fill('0.7')
  await lanes.nth(2).getByRole('slider').last().fill('0.3')
  await dark.getByRole('button', { name: 'Run' }).click()
  await dark.locator('.lane[data-state=done]').nth(2).waitFor()
  await shoot(dark, 'ui-playground-dark')
} finally {
  ended.abort()
  await browser.close()
  await server.close()
  rmSync(work, { recursive: true })
}
