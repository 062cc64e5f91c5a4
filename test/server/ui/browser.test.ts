/** The page in a browser: Debian's Chromium. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { noBrowser, openBrowser } from '../../support/browser.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'
import { start } from '../routes/managed.ts'

const skip = noBrowser()
let browser: Browser
if (!skip) {
  browser = await openBrowser()
  t.teardown(() => browser.close())
}

/** The page, with what it complains of. */
async function open(
  t: Test,
  url: string,
  view: string,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options })
  t.teardown(() => context.close())
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const complaints: string[] = []
  page.on('pageerror', (error) => complaints.push(String(error)))
  page.on('console', (message) => {
    // The tests' own reading of the canvas is warned of.
    if (/^(error|warning)$/.test(message.type()) && !message.text().includes('willReadFrequently'))
      complaints.push(message.text())
  })
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('data:')) complaints.push(`asked ${request.url()}`)
  })
  await page.goto(`${url}/ui/#${view}`)
  return { page, complaints }
}
const live = (page: Page) => page.locator('#link[data-state=live]').waitFor()
/** What the page is told to compute, as text: the browser's types are not this program's. */
const compute = (page: Page, script: string) => page.evaluate(script)

/** Colours of the map's pixels, and how many have each. */
const colours = (page: Page) =>
  compute(
    page,
    `(() => {
      const canvas = document.getElementById('map')
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      const seen = {}
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) seen[data.slice(i, i + 3).join()] = true
      return Object.keys(seen).length
    })()`,
  ) as Promise<number>

t.test('the pool: its map and numbers are drawn, and follow what happens', { skip }, async (t) => {
  const served = await start(t, { pool: '16MiB' })
  const { page, complaints } = await open(t, served.url, 'pool')
  await live(page)
  await page.locator('#legend li').first().waitFor()
  t.match(await page.locator('#legend').innerText(), /Free\s+256/)
  await page.waitForTimeout(300)
  t.equal(await colours(page), 1, 'all is free')
  const asked = served.post('/v1/completions', {
    model: 'pirate',
    prompt: 'A fox '.repeat(40),
    max_tokens: 700,
    ignore_eos: true,
  })
  await page.locator('#load td.name', { hasText: 'pirate' }).waitFor()
  t.ok((await colours(page)) >= 3, 'sequence, adapter, free')
  await asked
  await page.locator('#load .empty').waitFor()
  await page.locator('#legend li', { hasText: 'Cached prefixes' }).locator('b:not(:text-is("0"))').waitFor()
  await page.locator('#map').focus()
  await page.keyboard.press('ArrowRight')
  t.match(await page.locator('#map-told').innerText(), /^Block 1 · /)
  await page.keyboard.press('End')
  t.match(await page.locator('#map-told').innerText(), /^Block 255 · /)
  await page.getByRole('radiogroup', { name: 'Colour the map by' }).getByRole('radio', { name: 'Kind' }).focus()
  await page.keyboard.press('ArrowRight')
  t.equal(await page.getByRole('radio', { name: 'Adapter', checked: true }).first().innerText(), 'Adapter')
  await page.locator('#value-ttft-p50:not(:text-is("–"))').or(page.locator('#value-rate-generation')).first().waitFor()
  t.same(complaints, [])
})

t.test('the keyboard alone: views, the list, a dialog that gives the focus back', { skip }, async (t) => {
  const served = await start(t)
  await served.preloaded
  const { page, complaints } = await open(t, served.url, 'pool')
  await live(page)
  await page.keyboard.press('Tab')
  t.equal(await compute(page, 'document.activeElement.className'), 'skip', 'the first stop skips the head')
  await page.keyboard.press('Tab')
  t.equal(await compute(page, 'document.activeElement.id'), 'tab-pool')
  t.not(await compute(page, 'getComputedStyle(document.activeElement).outlineStyle'), 'none', 'the focus is seen')
  await page.keyboard.press('ArrowRight')
  t.equal(await compute(page, 'document.activeElement.id'), 'tab-adapters')
  await page.locator('#view-adapters').waitFor()
  await page.keyboard.press('3')
  await page.locator('#view-playground').waitFor()
  await page.keyboard.press('/')
  t.equal(await compute(page, 'document.activeElement.id'), 'adapters-find')
  await page.keyboard.type('spa')
  await page.locator('#adapters-count', { hasText: '1 of 2' }).waitFor()
  await page.getByRole('button', { name: 'Open spanish' }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog', { name: 'spanish' }).waitFor()
  // The list behind it is told anew every second.
  await page.waitForTimeout(1500)
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'hidden' })
  // The dialog's end is told after it is hidden.
  await page.waitForFunction('document.activeElement.getAttribute("aria-label") === "Open spanish"')
  t.same(complaints, [])
})

t.test('adapters are loaded, pinned, given a canary, promoted, rolled back and unloaded', { skip }, async (t) => {
  const served = await start(t)
  await served.preloaded
  const { page, complaints } = await open(t, served.url, 'adapters')
  await live(page)
  const told = (text: RegExp) => page.locator('.toast', { hasText: text }).first().waitFor()
  await page.getByRole('button', { name: 'Load an adapter' }).click()
  await page.getByLabel('Name', { exact: true }).fill('team/robot')
  await page.getByLabel('Folder').fill(path.join(served.more, 'robot'))
  await page.getByRole('button', { name: 'Load', exact: true }).click()
  await told(/team\/robot is served/)
  await page.getByRole('button', { name: 'Open team/robot' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByRole('button', { name: 'Pin', exact: true }).click()
  await told(/is pinned/)
  const robot = async () => (await served.get('/adapters/team/robot')).json
  t.match(await robot(), { pinned: true, previous: null }, 'the version has not changed for that')
  const digest = (await robot()).digest
  await dialog.getByLabel('Its folder').fill(path.join(served.more, 'shout'))
  await dialog.getByLabel('Share of the requests').fill('30')
  await dialog.getByRole('button', { name: 'Begin' }).click()
  await told(/has a canary/)
  t.match(await robot(), { digest, canary: { share: 0.3 } })
  await page.locator('.tag.canary', { hasText: '30 %' }).waitFor()
  await dialog.getByLabel('Share of the requests').fill('55')
  await dialog.getByRole('button', { name: 'Set share' }).click()
  await told(/takes 55\s%/)
  await dialog.getByRole('button', { name: 'Promote' }).click()
  await told(/stands for its canary/)
  t.not((await robot()).digest, digest)
  await dialog.getByRole('button', { name: 'Roll back' }).click()
  await told(/is what it was before/)
  t.equal((await robot()).digest, digest)
  await dialog.getByRole('button', { name: 'Unload' }).click()
  t.equal((await robot()).digest, digest, 'one press asks first')
  await dialog.getByRole('button', { name: 'Really unload?' }).click()
  await told(/is served no longer/)
  t.equal((await served.get('/adapters/team/robot')).status, 404)
  await page.getByRole('button', { name: 'Load an adapter' }).click()
  await page.getByLabel('Name', { exact: true }).fill('wrong')
  await page.getByLabel('Folder').fill('/etc')
  await page.getByRole('button', { name: 'Load', exact: true }).click()
  await told(/loaded from the folders of --adapters/)
  t.same(
    complaints.filter((complaint) => !/status of 403/.test(complaint)),
    [],
  )
})

t.test('names that would be markup are text', { skip }, async (t) => {
  const served = await start(t)
  const name = '<img src=x onerror=document.title=1>'
  const folder = path.join(temporaryFolder(t), 'adapters')
  cpSync(demoModel('adapters/pirate'), path.join(folder, name), { recursive: true })
  const odd = await start(t, { adapters: folder })
  const { page, complaints } = await open(t, odd.url, 'adapters')
  await live(page)
  await page.getByRole('button', { name: `Open ${name}` }).click()
  await page.getByRole('dialog', { name }).waitFor()
  t.not(await page.title(), '1')
  t.same(complaints, [])
  t.ok(served)
})

t.test('one prompt through two adapters and a mix, side by side', { skip }, async (t) => {
  const served = await start(t)
  await served.preloaded
  const { page, complaints } = await open(t, served.url, 'playground')
  await live(page)
  const lanes = page.locator('.lane')
  await lanes.nth(2).waitFor()
  const headers: (string | undefined)[] = []
  page.on('request', (request) => {
    if (request.url().endsWith('/v1/chat/completions')) headers.push(request.headers()['x-lora-adapter'])
  })
  await lanes.nth(2).getByRole('combobox').fill('pirate')
  await lanes.nth(2).getByRole('combobox').press('Enter')
  await lanes.nth(2).getByRole('slider', { name: 'Weight of spanish' }).fill('0.3')
  await lanes.nth(2).getByRole('slider', { name: 'Weight of pirate' }).fill('0.7')
  await page.locator('#prompt').press('Control+Enter')
  await page.locator('.lane[data-state=done]').nth(2).waitFor()
  t.same(headers.sort(), ['pirate', 'spanish;w=0.3, pirate;w=0.7', undefined])
  const answers = await page.locator('.lane .answer').allInnerTexts()
  // Of a mix on this model one style wins.
  t.ok(new Set(answers).size >= 2, 'adapters answer otherwise than the base')
  t.not(answers[0], answers[1])
  for (const answer of answers) t.ok(answer.length > 20, answer)
  t.match(await lanes.nth(1).locator('.foot').innerText(), /First token [\d.]+ m?s\s+Tokens \d+\s+in [\d.]+ m?s\s+[0-9a-f]{8}/)
  await page.evaluate('document.activeElement.blur()')
  const again = page.waitForRequest((request) => request.url().endsWith('/v1/chat/completions'))
  await page.keyboard.press('Control+Enter')
  await again
  await page.locator('#run:enabled').waitFor()
  await page.locator('#tokens').fill('900')
  await page.locator('#kind').selectOption('text')
  // At once: the answer may be over before a second command comes from here.
  const stopped = await page.evaluate(`(() => {
    document.querySelector('#run').click()
    const stop = document.querySelector('#stop')
    const enabled = !stop.disabled
    stop.click()
    return enabled
  })()`)
  t.equal(stopped, true)
  await page.locator('.lane[data-state=done]').nth(2).waitFor()
  t.same(complaints, [])
})

t.test('with keys it asks for one, and keeps it in the tab', { skip }, async (t) => {
  const served = await start(t, { 'api-key': ['admin-key', 'acme=tenant-key'] })
  const { page } = await open(t, served.url, 'pool')
  const dialog = page.getByRole('dialog', { name: 'An admin key, please' })
  await dialog.waitFor()
  t.notMatch(await page.locator('body').innerText(), /pirate|avx|demo/i, 'nothing is told')
  await page.getByLabel('Key', { exact: true }).fill('tenant-key')
  await page.keyboard.press('Enter')
  await page.getByText('Not with this one: the key is no admin key.').waitFor()
  await page.getByLabel('Key', { exact: true }).fill('admin-key')
  await page.keyboard.press('Enter')
  await live(page)
  await page.reload()
  await live(page)
  t.equal(await compute(page, 'Object.keys(localStorage).filter((name) => name.includes("key")).length'), 0)
  await page.getByRole('tab', { name: 'Playground' }).click()
  await page.getByRole('button', { name: 'Run' }).click()
  await page.locator('.lane[data-state=done]').nth(2).waitFor()
  t.ok((await page.locator('.lane .answer').first().innerText()).length > 20)
})

t.test('dark and light, as the system has it and as is chosen; text is read against its ground', { skip }, async (t) => {
  const served = await start(t)
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page, complaints } = await open(t, served.url, 'pool', { colorScheme, reducedMotion: 'reduce' })
    await live(page)
    const ratios = (await compute(
      page,
      `(() => {
        const numbers = (property) => {
          const probe = document.createElement('i')
          probe.style.color = 'var(' + property + ')'
          document.body.append(probe)
          const [r, g, b] = getComputedStyle(probe).color.match(/[\\d.]+/g).map(Number)
          probe.remove()
          const [x, y, z] = [r, g, b].map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
          return 0.2126 * x + 0.7152 * y + 0.0722 * z
        }
        const ratio = (a, b) => (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
        const pairs = []
        for (const ground of ['--ground', '--surface', '--sunken'])
          for (const text of ['--ink', '--muted', '--bad', '--warm', '--accent', '--good']) pairs.push([text, ground, 4.5])
        pairs.push(['--on-accent', '--accent', 4.5], ['--edge', '--surface', 3])
        for (const line of ['--block-sequence', '--block-shared', '--second', '--block-adapter', '--block-framed'])
          pairs.push([line, '--surface', 3])
        return pairs.map(([a, b, least]) => ({ name: a + ' on ' + b, ratio: ratio(numbers(a), numbers(b)), least }))
      })()`,
    )) as { name: string; ratio: number; least: number }[]
    for (const { name, ratio, least } of ratios) t.ok(ratio >= least, `${colorScheme}: ${name} ${ratio.toFixed(2)}`)
    const ground = () => compute(page, 'getComputedStyle(document.body).backgroundColor')
    const system = await ground()
    const button = page.locator('#theme')
    await button.click()
    await button.click()
    t.equal(await button.innerText(), 'Theme: dark')
    if (colorScheme === 'light') t.not(await ground(), system)
    else t.equal(await ground(), system)
    await page.reload()
    await live(page)
    t.equal(await button.innerText(), 'Theme: dark', 'it is kept')
    t.same(complaints, [])
  }
})

t.test("a phone's width: nothing is wider than the screen", { skip }, async (t) => {
  const served = await start(t)
  await served.preloaded
  for (const width of [320, 390]) {
    const { page, complaints } = await open(t, served.url, 'pool', { viewport: { width, height: 800 }, hasTouch: true })
    await live(page)
    for (const view of ['Pool', 'Adapters', 'Playground']) {
      await page.getByRole('tab', { name: view }).click()
      await page.waitForTimeout(300)
      t.ok(
        (await compute(page, 'document.documentElement.scrollWidth <= document.documentElement.clientWidth')) as boolean,
        `${view} at ${width}`,
      )
    }
    await page.getByRole('tab', { name: 'Adapters' }).click()
    await page.getByRole('button', { name: 'Open spanish' }).click()
    await page.getByRole('dialog').waitFor()
    t.ok((await compute(page, 'document.querySelector("dialog[open]").getBoundingClientRect().right <= innerWidth')) as boolean)
    t.same(complaints, [])
  }
})
