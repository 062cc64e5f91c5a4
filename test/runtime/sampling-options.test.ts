/** The table of sampling options agrees with the enum that C++ reads them by. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { complaint, packOptions, SAMPLING_OPTION_NAMES, SAMPLING_OPTIONS } from '../../runtime/sampling-options.ts'
import { greedy } from '../support/greedy.ts'
import { repoRoot } from '../support/repo.ts'

t.test('native/step/sampling_options.h names them in the same order', async (t) => {
  const header = readFileSync(path.join(repoRoot(), 'native/step/sampling_options.h'), 'utf8')
  const [, listed] = /enum class SamplingOption : size_t \{([^}]*)\}/.exec(header) ?? []
  const names = listed.split(',').map((name) => name.trim())
  const snake = SAMPLING_OPTION_NAMES.map((name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
  t.same(names, [...snake, 'count'])
})

t.test('a field of a body is called as vLLM calls it, and as C++ does', async (t) => {
  for (const [name, option] of Object.entries(SAMPLING_OPTIONS))
    if ('field' in option)
      t.equal(
        option.field,
        name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      )
})

t.test('packed, each stands at its place, exactly', async (t) => {
  const params = { ...greedy(4), temperature: 0.1, topK: 2 ** 31 - 1, promptLogprobs: 7 }
  t.same([...packOptions(params)], [0.1, 1, 2 ** 31 - 1, 0, 0, 0, 1, 0, -1, 7])
  t.same(
    [...packOptions(params)],
    SAMPLING_OPTION_NAMES.map((name) => params[name]),
  )
})

t.test('what is wrong with a value', async (t) => {
  const { temperature, topP, topK, repetitionPenalty } = SAMPLING_OPTIONS
  t.equal(complaint(temperature, 2), undefined)
  t.equal(complaint(topK, -1), undefined)
  t.equal(complaint(temperature, 2.1), 'must be a number from 0 to 2')
  t.equal(complaint(temperature, Number.NaN), 'must be a number from 0 to 2')
  t.equal(complaint(temperature, '1'), 'must be a number from 0 to 2')
  t.equal(complaint(topP, 0), 'must be a number above 0 to 1')
  t.match(complaint(topK, 1.5), /^must be an integer from -1/)
  t.match(complaint(repetitionPenalty, 0), /from 0\.01 to 100/)
})

t.test('every fallback is right by its own row, or means that nothing is asked for', async (t) => {
  for (const [name, option] of Object.entries(SAMPLING_OPTIONS))
    t.ok(option.fallback === -1 || complaint(option, option.fallback) === undefined, name)
})
