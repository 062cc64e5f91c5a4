/** The numbers of now, and the batch and the queue by adapter or tenant. */
import { byId, choice, make, nameColour, setText, short, whole } from './dom.mjs'
import { live, on } from './live.mjs'

const MOST = 12
const FIGURES = [
  ['running', 'Running', ({ now }) => [whole(now.running), '']],
  ['waiting', 'Waiting', ({ now }) => [whole(now.waiting), '']],
  ['generation', 'Generated', ({ second }) => [short(second?.generation ?? 0), 'tokens/s']],
  ['prompt', 'Prompts read', ({ second }) => [short(second?.prompt ?? 0), 'tokens/s']],
  [
    'used',
    'Pool in use',
    ({ now: { blocks } }) => [
      `${Math.round((100 * (blocks.sequences + blocks.adapters - blocks.idleAdapters)) / blocks.total)} %`,
      '',
    ],
  ],
  ['resident', 'Adapters in the pool', ({ now }) => [whole(now.residentAdapters), '']],
  [
    'hits',
    'Prefix hits',
    ({ now: { counters } }) => [
      counters.prefixQueries ? `${Math.round((100 * counters.prefixHits) / counters.prefixQueries)} %` : '–',
      'of prompts',
    ],
  ],
  ['preemptions', 'Preempted', ({ now }) => [whole(now.counters.preemptions), 'since start']],
]
let by = 'adapter'
let second
let drawnAt = 0

function figures() {
  if (!live.now) return
  for (const [id, , value] of FIGURES) {
    const [number, unit] = value({ now: live.now, second })
    setText(byId(`figure-${id}`), number)
    setText(byId(`unit-${id}`), unit === '' ? '' : ` ${unit}`)
  }
}

/** Groups of the same adapters, or of the same flow, together; most sequences first. */
function lines() {
  const lines = new Map()
  for (const load of live.loads) {
    const group = live.groups.get(load.id)
    if (!group) continue
    const name = by === 'adapter' ? group.name : group.flow || 'nobody named'
    const line = lines.get(name) ?? { name, running: 0, waiting: 0, contextTokens: 0, blocks: 0 }
    for (const field of ['running', 'waiting', 'contextTokens', 'blocks']) line[field] += load[field]
    lines.set(name, line)
  }
  return [...lines.values()].sort((a, b) => b.running + b.waiting - a.running - a.waiting || (a.name < b.name ? -1 : 1))
}

function table() {
  const all = lines()
  const rows = all
    .slice(0, MOST)
    .map(({ name, running, waiting, contextTokens, blocks }) =>
      make(
        'tr',
        {},
        make(
          'td',
          { class: 'name', title: name },
          make('span', { class: 'swatch', style: { background: nameColour(name) } }),
          name,
        ),
        make('td', { class: running ? 'number' : 'number none' }, whole(running)),
        make('td', { class: waiting ? 'number waits' : 'number none' }, whole(waiting)),
        make('td', { class: 'number wide' }, whole(contextTokens)),
        make('td', { class: 'number' }, whole(blocks)),
      ),
    )
  if (rows.length === 0) rows.push(make('tr', {}, make('td', { class: 'empty', colspan: 5 }, 'Nothing runs and nothing waits.')))
  byId('load').replaceChildren(...rows)
  const others = all.slice(MOST)
  const sum = others.reduce((total, { running, waiting }) => total + running + waiting, live.uncounted)
  setText(byId('load-more'), sum > 0 ? `and ${whole(others.length)} others with ${whole(sum)} sequences` : '')
}

export function startLoad() {
  byId('figures').append(
    ...FIGURES.map(([id, label]) =>
      make(
        'div',
        {},
        make('dt', {}, label),
        make('dd', {}, make('span', { id: `figure-${id}` }, '–'), make('small', { id: `unit-${id}` })),
      ),
    ),
  )
  choice(
    byId('load-by'),
    [
      ['adapter', 'Adapter'],
      ['tenant', 'Tenant'],
    ],
    (value) => {
      by = value
      setText(byId('load-name'), value === 'adapter' ? 'Adapter' : 'Tenant')
      table()
    },
  )
  on('now', figures)
  on('second', (told) => {
    second = told
    figures()
  })
  const draw = () => {
    drawnAt = performance.now()
    table()
  }
  let late
  on('map', () => {
    if (byId('view-pool').hidden) return
    clearTimeout(late)
    // Four times a second can be read; the last change is drawn in any case.
    if (performance.now() - drawnAt > 250) draw()
    else late = setTimeout(draw, 250)
  })
  on('theme', table)
}
