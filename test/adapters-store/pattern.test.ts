/** Patterns that come with an adapter: read as PEFT reads them, and never for longer than a second a load, however they are written. */
import t from 'tap'
import { type AdapterError, loadAdapter } from '../../adapters-store/index.ts'
import { FORMS, PatternError, PatternMatcher } from '../../adapters-store/pattern.ts'
import { fixture } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { type Config, changedFixture } from './write-adapter.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float16', blockBytes: 1024 } as const

const first = (patterns: string[], name: string, form = FORMS.suffix) =>
  new PatternMatcher().first('rank_pattern', patterns, [name], form)[0]?.pattern

t.test('the first that fits the end of the name, as get_pattern_key', async (t) => {
  const q = 'model.layers.10.self_attn.q_proj'
  t.equal(first(['k_proj', 'q_proj', '.*'], q), 1)
  t.equal(first(['roj', 'attn.q_proj', 'self_attn.q_proj'], q), 2, 'a name begins behind a dot')
  t.equal(first([q], q), 0)
  t.equal(first([`a.${q}`], q), undefined)
  t.equal(first(['layers.0.self_attn.q_proj', 'layers.10.self_attn.q_proj'], q), 1)
  t.equal(first(['self.attn.q.proj'], q), 0, 'a dot fits any character, in a plain name too')
  t.equal(first(['self\\.attn.q_proj', 'self_attn\\.q_proj$'], q), 1, 'an escaped dot fits only a dot')
  t.equal(first(['^layers.10.self_attn.q_proj', `^${q}$`], q), 1, 'from the start')
  t.equal(first(['.*', 'q_proj'], q), 0)
  t.equal(first(['k.*', 'q_proj', '.*'], q), 1)
  t.equal(first([''], q), undefined, 'an empty key fits an empty end behind a dot, which no name has')
  t.equal(first(['k_proj|q_proj'], q), 0)
  t.equal(first(['layers\\.(1|2)\\d\\..*'], q), 0)
  t.equal(first(['q_proj$', '^model.*q_proj'], q), 0)
  t.equal(first(['layers.10'], q), undefined, 'to the end of the name')
  t.strictSame(new PatternMatcher().first('f', [], [q], FORMS.suffix), [undefined])
})

t.test('the other forms', async (t) => {
  const q = 'model.layers.10.self_attn.q_proj'
  t.equal(first(['.*q_proj'], q, FORMS.whole), 0)
  t.equal(first(['q_proj'], q, FORMS.whole), undefined)
  t.equal(first(['x|model.*q_proj'], q, FORMS.whole), 0)
  t.equal(first(['self_attn'], q, FORMS.within), 0)
  t.equal(first(['attn'], q, FORMS.within), undefined)
  t.match(new PatternMatcher().first('layers_pattern', ['h', 'layers'], [q], FORMS.layer)[0], {
    pattern: 1,
    groups: { idx: '10' },
  })
})

const SLOW: [string, (n: number) => string][] = [
  ['alternations written out', (n) => `${'(.|.)'.repeat(n)}!`],
  ['alternations of words', (n) => `${'(layers|l..ers|.{6}|\\.|..|self|...|.)'.repeat(n / 2)}!`],
  ['optional parts', (n) => `${'.?'.repeat(n)}${'.'.repeat(n)}!`],
  ['a nested quantifier', () => '(([a-z_.0-9]+)+)+!'],
  ['a counted one', (n) => `((.|.){${n}})!`],
  ['stars one after the other', () => `${'.*'.repeat(24)}!`],
  ['a lookahead', () => '(?=(([a-z_.0-9]+)+)+!).*'],
  ['a reference back', () => '(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)\\1\\2\\3!'],
]

for (const [what, pattern] of SLOW) {
  t.test(`gives up on ${what}`, async (t) => {
    const names = Array.from({ length: 250 }, (_, i) => `model.layers.${i}.self_attn.q_proj`)
    const matcher = new PatternMatcher()
    const start = performance.now()
    t.throws(() => matcher.first('alpha_pattern', ['k_proj', pattern(30)], names, FORMS.suffix), {
      message: /^alpha_pattern: the pattern ".*" took longer than 1000 ms .*; name the modules instead$/,
    })
    t.ok(performance.now() - start < 5_000, 'a generous bound for a busy machine: unguarded it is minutes')
    t.throws(() => matcher.first('rank_pattern', ['k'], ['q'], FORMS.suffix), PatternError, 'the time is for all fields together')
  })
}

/** A pattern that takes between `milliseconds` and about twice as long on one name: each pair of brackets doubles it. */
function slowPattern(milliseconds: number): string {
  for (let n = 14; ; n++) {
    const pattern = `${'(.|.)'.repeat(n)}!`
    const expression = new RegExp(`^(.*\\.)?(${pattern})$`, 'u')
    const took = () => {
      const start = performance.now()
      expression.test('model.layers.0.self_attn.q_proj')
      return performance.now() - start
    }
    // The first run is interpreted, which takes a hundred times as long: let it be one that fails at once.
    expression.test('')
    took() // compiles
    // The least of three: a run that another process held up says nothing about the pattern.
    if (Math.min(took(), took(), took()) > milliseconds) return pattern
  }
}

/** Loads biased/lora with a config so changed: how long that took, and how it was refused. */
function loaded(t: Parameters<typeof changedFixture>[0], change: (config: Config) => void) {
  const folder = changedFixture(t, 'biased/adapters/lora', change)
  const start = performance.now()
  let error: unknown
  try {
    loadAdapter('x', folder, base, options)
  } catch (caught) {
    error = caught
  }
  return { milliseconds: performance.now() - start, error: error as AdapterError | undefined }
}

const EVIL = `${'(.|.)'.repeat(40)}!`
/** Every field of a config whose patterns are matched against modules. */
const FIELDS: [string, Config][] = [
  ['rank_pattern', { rank_pattern: { [EVIL]: 4 } }],
  ['alpha_pattern', { alpha_pattern: { [EVIL]: 4 } }],
  ['target_modules', { target_modules: EVIL }],
  ['exclude_modules', { exclude_modules: EVIL }],
  ['modules_to_save', { modules_to_save: [EVIL] }],
  ['layers_pattern', { layers_pattern: [EVIL], layers_to_transform: [0] }],
]

t.test('a load ends in time whichever field holds the pattern', async (t) => {
  t.equal(loaded(t, () => {}).error, undefined) // compiles and opens what is needed once
  const all = FIELDS.reduce((together, [, change]) => Object.assign(together, change), {} as Config)
  for (const [field, change] of [...FIELDS, ['rank_pattern', all] as [string, Config]]) {
    const { milliseconds, error } = loaded(t, (config) => Object.assign(config, change))
    t.match(error, {
      code: 'adapter_option_unsupported',
      message: new RegExp(`^${field}: the pattern .* took longer than 1000 ms`),
    })
    t.ok(milliseconds < 3_000, `${field}: ${milliseconds.toFixed(0)} ms`)
  }
})

t.test('a second is for the whole load, not for each module', async (t) => {
  // Nine of them take three seconds, also where the machine is twice as fast by then.
  const slow = slowPattern(350)
  for (const field of ['rank_pattern', 'alpha_pattern']) {
    const { milliseconds, error } = loaded(t, (config) => Object.assign(config, { [field]: { [slow]: 4 } }))
    t.match(error, { code: 'adapter_option_unsupported', message: field }, `${field}: ${base.sites.length} modules`)
    t.ok(milliseconds < 3_000, `${field}: ${milliseconds.toFixed(0)} ms`)
  }
})

t.test('five hundred explicit names on five hundred modules are no trouble', async (t) => {
  const names = Array.from({ length: 500 }, (_, i) => `model.layers.${i}.self_attn.q_proj`)
  const escaped = names.map((name) => `${name.replaceAll('.', '\\.')}$`)
  for (const patterns of [names, escaped]) {
    const start = performance.now()
    const found = new PatternMatcher().first('rank_pattern', patterns, names, FORMS.suffix)
    t.comment(`${(performance.now() - start).toFixed(1)} ms`)
    t.ok(found.every((one, i) => one?.pattern === i))
  }
})

t.test('what JavaScript reads otherwise than Python, or cannot parse in no time, is refused', async (t) => {
  for (const pattern of ['(?P<x>q)_proj', 'q_proj\\Z', '(', ')(', 'q_proj)|(k', 'a{2,1}', '\\-', `(${'q|'.repeat(40_000)}k)`])
    t.throws(() => first([pattern], 'q_proj'), {
      message: /not a regular expression that this server reads|at most 65536/,
    })
})
