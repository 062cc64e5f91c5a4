/** Rows of many steps' arrays, kept as one list. */
import t from 'tap'
import type { Logprobs } from '../../../runtime/index.ts'
import { LogprobList } from '../../../server/openai/logprob-list.ts'
import { tokenLogprobs } from '../../support/logprobs.ts'

/** Rows with 0, 1, 2, 0, 1, 2 … likeliest, all numbers distinct. */
function stepOf(rows: number, from: number): Logprobs {
  const topStarts = new Int32Array(rows + 1)
  for (let i = 0; i < rows; i++) topStarts[i + 1] = topStarts[i] + (i % 3)
  const numbers = (length: number, start: number) => Array.from({ length }, (_, i) => start + i)
  return {
    tokens: Int32Array.from(numbers(rows, from)),
    logprob: Float32Array.from(numbers(rows, from + 100)),
    rank: Int32Array.from(numbers(rows, from + 200)),
    topStarts,
    topTokens: Int32Array.from(numbers(topStarts[rows], from + 300)),
    topLogprobs: Float32Array.from(numbers(topStarts[rows], from + 400)),
  }
}

t.test('what was appended stands there in order, whichever rows of a step it was', async (t) => {
  const list = new LogprobList()
  t.same(tokenLogprobs(list.rows), [])
  const expected = []
  for (let i = 0; i < 40; i++) {
    const of = stepOf(9, 1000 * i)
    const from = i % 5
    const rows = { of, from, to: from + (i % 4) }
    list.append(rows)
    expected.push(...tokenLogprobs(rows))
  }
  t.same(tokenLogprobs(list.rows), expected)
  t.equal(expected.length, 60)
})

t.test('lists share nothing with each other or with the steps', async (t) => {
  const [a, b] = [new LogprobList(), new LogprobList()]
  const of = stepOf(3, 0)
  a.append({ of, from: 0, to: 3 })
  const before = tokenLogprobs(a.rows)
  of.tokens.fill(9)
  of.topStarts.fill(0)
  t.same(tokenLogprobs(a.rows), before)
  t.same(tokenLogprobs(b.rows), [])
})
