/** Keys as they are written, kept and found. */
import { appendFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { KeyHolder } from '../../../server/access/caller.ts'
import { matcher } from '../../../server/access/globs.ts'
import { parseKey, sha256 } from '../../../server/access/key.ts'
import { readKeyFile } from '../../../server/access/key-file.ts'
import { KeyRing } from '../../../server/access/key-ring.ts'
import { makeKey } from '../../../server/access/new-key.ts'
import { ConfigError } from '../../../server/config/values.ts'
import { temporaryFolder } from '../../support/repo.ts'

const quiet = { info: () => undefined, error: () => undefined }

function complaint(ask: () => unknown): string {
  try {
    ask()
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'none'
}

t.test('a tenant stands before a key only where it can be one', async (t) => {
  for (const [text, tenant, key] of [
    ['sk-1', undefined, 'sk-1'],
    ['acme=sk-1', 'acme', 'sk-1'],
    ['acme=sk=1=', 'acme', 'sk=1='],
    ['c2VjcmV0cw==', undefined, 'c2VjcmV0cw=='],
    ['c2VjcmV0c3M=', undefined, 'c2VjcmV0c3M='],
    ['a b=sk-1', undefined, 'a b=sk-1'],
    ['=sk-1', undefined, '=sk-1'],
  ] as const)
    t.match(parseKey(text), { sha256: sha256(key), tenant: tenant ?? 'default', admin: tenant === undefined }, text)
})

t.test('lorikeet key makes an entry that the file takes', async (t) => {
  const file = path.join(temporaryFolder(t), 'keys.jsonl')
  const args = ['--tenant', 'acme', '--adapters', 'acme-*', '--adapters=shared', '--max-concurrent-requests', '8']
  const made = makeKey([...args, '--max-sequences-in-flight', '64', '--tokens-per-minute=1000', '--max-queued-requests', '5'])
  const admin = makeKey(['--admin'])
  t.match(made.key, /^lk-[\w-]{43}$/)
  t.not(made.key, admin.key)
  t.notMatch(made.line, made.key)
  writeFileSync(file, `${made.line}\n\n${admin.line}\n`)
  t.same(readKeyFile(file), [
    {
      sha256: sha256(made.key),
      tenant: 'acme',
      adapters: ['acme-*', 'shared'],
      maxRequests: 8,
      maxSequences: 64,
      tokensPerMinute: 1000,
      maxQueued: 5,
      admin: false,
    },
    { sha256: sha256(admin.key), tenant: 'default', admin: true },
  ])
  t.match(
    complaint(() => makeKey(['--tennant', 'a'])),
    'did you mean --tenant?',
  )
  t.match(
    complaint(() => makeKey(['--tenant', 'a b'])),
    '--tenant must be a name',
  )
  t.match(
    complaint(() => makeKey(['--tokens-per-minute', 'many'])),
    '--tokens-per-minute must be an integer of at least 1',
  )
  t.match(
    complaint(() => makeKey(['acme'])),
    'acme is no flag',
  )
})

t.test('a wrong key file says where and what', async (t) => {
  const file = path.join(temporaryFolder(t), 'keys.jsonl')
  const good = makeKey([]).line
  for (const [line, message] of [
    ['sk-secret', 'keys.jsonl:2 is no JSON'],
    ['["sk-secret"]', 'keys.jsonl:2 must hold a JSON object'],
    ['{"tenant":"a"}', "keys.jsonl:2: sha256, the key's hash, is missing"],
    ['{"sha256":"sk-secret"}', 'keys.jsonl:2: sha256 must be 64 hexadecimal digits'],
    [good.replace('tenant', 'tenent'), 'unknown field tenent; did you mean tenant?'],
    [good.replace('}', ',"tokens-per-minute":0}'), 'tokens-per-minute must be an integer of at least 1'],
    [good.replace('}', ',"adapters":"a"}'), 'adapters must be a list of names'],
  ] as const) {
    writeFileSync(file, `${good}\n${line}\n`)
    const said = complaint(() => readKeyFile(file))
    t.match(said, message)
    t.notMatch(said, 'sk-secret')
  }
  t.match(
    complaint(() => readKeyFile(`${file}.no`)),
    'the key file cannot be read',
  )
})

t.test('the file is read again when it changes; what is wrong then changes nothing', async (t) => {
  const file = path.join(temporaryFolder(t), 'keys.jsonl')
  const [a, b] = [makeKey(['--tenant', 'a']), makeKey(['--tenant', 'b'])]
  writeFileSync(file, `${a.line}\n`)
  const told: string[] = []
  const log = { info: (text: string) => told.push(text), error: (text: string) => told.push(text) }
  const ring = new KeyRing([parseKey('sk-flag')], file, log as unknown as typeof quiet, 20)
  t.teardown(() => ring.close())
  const until = async (done: () => boolean) => {
    for (let i = 0; i < 250 && !done(); i++) await setTimeout(20)
    t.ok(done())
  }
  const holder = ring.holder(a.key)
  holder?.quota.enter()
  t.equal(ring.holder(b.key), undefined)
  appendFileSync(file, `${b.line}\n`)
  await until(() => ring.holder(b.key)?.tenant === 'b')
  t.equal(ring.holder(a.key), holder, 'with what it has in flight')
  writeFileSync(file, '{"half')
  await until(() => told.some((text) => text.includes('the keys stay what they were')))
  t.equal(ring.size, 3)
  // As an editor, or Kubernetes, writes it.
  writeFileSync(`${file}.new`, `${b.line}\n`)
  renameSync(`${file}.new`, file)
  await until(() => ring.holder(a.key) === undefined)
  t.ok(ring.holder('sk-flag')?.admin, 'those of the command line stay')
})

t.test('10,000 keys: finding one takes no longer than 20 µs', async (t) => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `key-${i}`)
  const ring = new KeyRing(keys.map(parseKey), undefined, quiet)
  const took = (wanted: (i: number) => string) => {
    const started = performance.now()
    for (let i = 0; i < 10_000; i++) ring.holder(wanted(i))
    return ((performance.now() - started) / 10_000) * 1000
  }
  took((i) => keys[i])
  const rounds = Array.from({ length: 5 }, () => took((i) => keys[i])).sort((a, b) => a - b)
  t.ok(rounds[2] <= 20, `${rounds[2].toFixed(1)} µs`)
  t.equal(ring.holder('key-10000'), undefined)
})

t.test('patterns', async (t) => {
  const unleased = () => Promise.reject(new Error('nobody asks'))
  const record = (name: string) => ({ name, directory: '', created: 0 })
  const all = ['acme-1', 'acme-2', 'acme', 'other', 'a.c', 'abc', 'x\ny'].map(record)
  const catalogue = { get: (name: string) => all.find((one) => one.name === name), list: () => all, lease: unleased }
  const seen = (adapters: string[] | undefined) => {
    const view = new KeyHolder({ ...parseKey('k'), adapters }).seen(catalogue)
    const names = view.list().map(({ name }) => name)
    t.same(
      all.filter(({ name }) => view.get(name)).map(({ name }) => name),
      names,
      'what is listed can be had',
    )
    t.equal(view.list(), view.list(), 'the same list until it changes')
    return names
  }
  t.equal(seen(undefined).length, 7)
  t.equal(seen(['*']).length, 7)
  t.same(seen(['acme-*', 'other']), ['acme-1', 'acme-2', 'other'])
  t.same(seen(['a.c']), ['a.c'], 'a dot is a dot')
  t.same(seen(['x*']), ['x\ny'])
  t.same(seen(['*c*']), ['acme-1', 'acme-2', 'acme', 'a.c', 'abc'])
  t.same(seen([]), [])
})

t.test('a pattern of many stars takes one pass over a name, however long that is', async (t) => {
  const matches = matcher(['acme-*-a*a*a*a*-prod', '*x*', 'plain'])
  t.ok(matches('acme-1-abababa-prod'))
  t.notOk(matches('acme-1-aba-prod'), 'each star has its text')
  t.ok(matches('axb'))
  t.ok(matches('plain'))
  t.notOk(matches('plainer'))
  t.notOk(matcher(['ab*ba'])('aba'), 'the ends do not overlap')
  const started = performance.now()
  for (let i = 0; i < 1000; i++) matches(`acme-${'a'.repeat(1000)}`)
  t.notOk(matches(`acme-${'a-'.repeat(1 << 20)}`), 'no adapter is called so')
  t.ok(performance.now() - started < 1000, 'a thousand names of a thousand characters')
})
