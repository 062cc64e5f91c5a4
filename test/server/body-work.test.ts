/** Bodies that would keep others waiting while they are read are refused before they are; large ones that would not are not. */
import t from 'tap'
import { checkBodyWork } from '../../server/body-work.ts'
import { ApiError } from '../../server/errors.ts'
import { request } from '../support/http.ts'
import { startServed } from '../support/served.ts'

/** What is too much in a body; undefined: nothing. */
async function tooMany(json: string): Promise<string | undefined> {
  try {
    await checkBodyWork(Buffer.from(json))
  } catch (error) {
    if (error instanceof ApiError && error.status === 413) return /too many (.+?) to be read/.exec(error.message)?.[1]
    throw error
  }
}
const list = (n: number, item: (i: number) => string) => Array.from({ length: n }, (_, i) => item(i)).join(',')

t.test('what is counted', async (t) => {
  t.equal(await tooMany(`[${list(2.9e6, () => '1')}]`), 'values')
  t.equal(await tooMany(`[${'1'.repeat(11e6)}]`), 'digits')
  t.equal(await tooMany(`{${list(3e5, (i) => `"${i * 20}":1`)}}`), 'keys that do not follow each other')
  t.equal(await tooMany(`{${list(3e5, (i) => `"${3e5 - i}":1`)}}`), 'keys that do not follow each other')
  t.equal(await tooMany(`[${list(6e5, () => '"a"')}]`), 'texts')
  t.equal(await tooMany(`[${list(9e4, () => '{}')}]`), 'lists and objects')
  t.equal(await tooMany('['.repeat(9e4)), 'lists and objects')
  t.equal(await tooMany(`{${list(3e4, (i) => `"k${i}":1`)}}`), 'names of fields')
  for (const key of [(i: number) => `0${i}`, (i: number) => `${i}a`, (i: number) => `${1e12 + i}`, (i: number) => `-${i}`])
    t.equal(await tooMany(`{${list(3e4, (i) => `"${key(i)}":1`)}}`), 'names of fields', `${key(7)} is no index`)
})

t.test('what is let through', async (t) => {
  t.equal(await tooMany(`{"prompt":[${list(1.3e6, () => '49151')}]}`), undefined, '1.3 million token ids')
  t.equal(await tooMany(`{"logit_bias":{${list(2.6e5, (i) => `"${i}":-10`)}}}`), undefined, 'biases of a vocabulary of 260,000')
  t.equal(await tooMany(JSON.stringify('{"a":[{},'.repeat(1e6))), undefined, 'a text is a text')
  t.equal(await tooMany(JSON.stringify('\\"{},'.repeat(1e6))), undefined, 'with quotes and backslashes in it')
  t.equal(await tooMany(`["\\\\\\\\",${JSON.stringify('{},'.repeat(1e6))}]`), undefined)
  t.equal(
    await tooMany(`["\\\\",${list(9e4, () => '{}')}]`),
    'lists and objects',
    'a backslash before the end of a text is its own',
  )
  t.equal(await tooMany('"'.repeat(3)), undefined, 'no JSON is somebody else’s business')
})

t.test('over HTTP, others are served meanwhile', async (t) => {
  const { url } = await startServed(t, {})
  const bodies = [
    `{"messages":[{"role":"user","content":"a"}],"tools":[${list(5e6, () => '{}')}]}`,
    `{"messages":[{"role":"user","content":"a"}],"metadata":{${list(1e6, (i) => `"k${i}":1`)}}}`,
  ]
  for (const body of bodies) {
    let longest = 0
    let last = performance.now()
    const ticking = setInterval(() => {
      longest = Math.max(longest, performance.now() - last)
      last = performance.now()
    }, 1)
    const bytes = Buffer.from(body)
    last = performance.now()
    const refused = await request(`${url}/v1/chat/completions`, { body: bytes })
    clearInterval(ticking)
    t.match(refused.json, { error: { code: 'body_too_large', message: /send several requests/ } })
    t.ok(longest < 700, `${longest.toFixed(0)} ms (4 s and 2 s when they were read)`)
  }
})
