/** A state folder tells its format: one of a newer version is refused, never misread; one from before formats were noted is read. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { AdapterState } from '../../server/adapter-state.ts'
import { temporaryFolder } from '../support/repo.ts'

const registered = { directory: '/adapters/a', root: '/adapters', pinned: false }

t.test('the format of a state folder', async (t) => {
  const folder = temporaryFolder(t)
  const note = path.join(folder, 'format.json')
  const state = new AdapterState(folder)
  await state.put('a', registered)
  await state.close()
  t.equal(readFileSync(note, 'utf8'), '{"format":1}\n')

  for (const [text, message] of [
    ['{"format":2}', /the state folder cannot be used: it was written by a newer version \(format 2; this one reads up to 1\)/],
    ['', /format\.json does not say its format/],
    ['{"format":"1"}', /format\.json does not say its format/],
    ['{"format":0}', /format\.json does not say its format/],
  ] as const) {
    writeFileSync(note, text)
    t.throws(() => new AdapterState(folder), { message }, text)
  }

  // As the versions before formats were noted left it.
  rmSync(note)
  const again = new AdapterState(folder)
  t.same([...again.all()], [['a', registered]])
  await again.close()
  t.equal(readFileSync(note, 'utf8'), '{"format":1}\n')
})
