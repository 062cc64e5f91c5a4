/** What a request may cost, counted before it runs. */
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { type Cost, CostAccount, costOf } from '../../server/cost.ts'
import { ApiError } from '../../server/errors.ts'

const fields = { sequences: 'n', tokens: 'max_tokens', logprobs: 'logprobs' }
const limits = {
  maxRequestSequences: 10,
  maxRequestTokens: 1000,
  maxRequestLogprobs: 500,
  maxSequencesInFlight: 15,
  maxLogprobsInFlight: 800,
}
const cost = (changes: Partial<Cost>): Cost => ({ sequences: 1, tokens: 1, logprobs: 0, ...changes })

function refusal(work: () => unknown): ApiError | undefined {
  try {
    work()
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
}

t.test(
  'cost is sequences, their prompts and possible outputs, and a logprob for each with the likeliest beside it',
  async (t) => {
    const one = (length: number, maxTokens: number, logprobs: number, promptLogprobs: number) => ({
      promptIds: { length },
      sampling: { maxTokens, logprobs, promptLogprobs },
    })
    t.same(costOf([]), { sequences: 0, tokens: 0, logprobs: 0 })
    t.same(costOf([one(7, 5, -1, -1)]), { sequences: 1, tokens: 12, logprobs: 0 })
    t.same(costOf([one(7, 5, 0, -1), one(3, 2, -1, 20)]), { sequences: 2, tokens: 17, logprobs: 5 + 3 * 21 })
  },
)

t.test('up to a limit all is taken; one more is 400 and names field, setting and value', async (t) => {
  const account = new CostAccount(limits)
  for (const [unit, most, field, setting] of [
    ['sequences', 10, 'n', '--max-request-sequences'],
    ['tokens', 1000, 'max_tokens', '--max-request-tokens'],
    ['logprobs', 500, 'logprobs', '--max-request-logprobs'],
  ] as const) {
    account.take(cost({ [unit]: most }), fields)()
    const error = refusal(() => account.take(cost({ [unit]: most + 1 }), fields))
    t.match(error, { status: 400, code: 'invalid_request', param: field })
    for (const word of [field, setting, `${most + 1}`, `${most}`])
      t.ok(error?.message.includes(word), `${word} in ${error?.message}`)
  }
  t.match(
    refusal(() => account.checkSequences(11, 'prompt')),
    { status: 400, param: 'prompt' },
  )
  account.checkSequences(10, 'prompt')
})

t.test('what is in flight counts until it is counted out: 429 meanwhile', async (t) => {
  const account = new CostAccount(limits)
  const first = account.take(cost({ sequences: 10, logprobs: 500 }), fields)
  t.match(
    refusal(() => account.take(cost({ sequences: 6 }), fields)),
    {
      status: 429,
      code: 'too_many_requests',
      message: /less than the 6 sequences .* given 15 .--max-sequences-in-flight/,
    },
  )
  t.match(
    refusal(() => account.take(cost({ logprobs: 301 }), fields)),
    { status: 429, message: /--max-logprobs-in-flight/ },
  )
  const second = account.take(cost({ sequences: 5, logprobs: 300 }), fields)
  t.match(
    refusal(() => account.take(cost({}), fields)),
    { status: 429 },
    'what was refused took nothing, and what was taken is there',
  )
  first()
  second()
  account.take(cost({ sequences: 10, logprobs: 500 }), fields)
})

t.test('what could never be in flight is told so, not to come again', async (t) => {
  const account = new CostAccount({ ...limits, maxSequencesInFlight: 4 })
  t.match(
    refusal(() => account.take(cost({ sequences: 5 }), fields)),
    { status: 400, message: /4 at most \(--max-sequences-in-flight\)/ },
  )
})

t.test(
  'by default ordinary requests are served: n = 128, the longest logprobs of a 128k context, a batch of prompts',
  async (t) => {
    const account = new CostAccount(configOf({}))
    const context = 131_072
    for (const one of [
      { sequences: 128, tokens: 128 * context, logprobs: 0 },
      { sequences: 1, tokens: context, logprobs: context * 21 },
      { sequences: 512, tokens: 512 * 2048, logprobs: 512 * 2048 * 6 },
    ])
      account.take(one, fields)()
    t.match(
      refusal(() => account.take({ sequences: 4096, tokens: 4096 * 1001, logprobs: 4096 * 1001 * 21 }, fields)),
      { status: 400 },
    )
  },
)
