/** The pool as a map: a cell a block, in the order in which they lie, and only those drawn again that have changed. */
import { byId, bytes, choice, colour, make, nameColour, setText, whole } from './dom.mjs'
import { live, on } from './live.mjs'

const TALLEST = 340
const LARGEST_CELL = 18
/** In the legend. */
const MOST_NAMED = 8
const canvas = /** @type {HTMLCanvasElement} */ (byId('map'))
const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'))

let by = 'kind'
/** Cells: pixels of the device. */
let grid = { size: 1, columns: 1, gap: 0, ratio: 1 }
let states = []
let stateColours = []
const fills = new Map()
let at = -1

const bits = () => live.hello.stateBits
const stateOf = (value) => value & ((1 << bits()) - 1)
const ownerOf = (value) => value >>> bits()
const isSequence = (name) => name === 'sequence' || name === 'shared'
const isAdapter = (name) => name === 'adapter' || name === 'idle adapter'

const isFramed = (name) => name === 'framed' || name === 'idle framed'

/** The group or the adapters that have a block. */
function holders(block) {
  const value = live.values[block]
  const state = states[stateOf(value)]
  if (isFramed(state)) return { shared: live.shared.get(block) ?? [] }
  if (isAdapter(state)) return { adapter: live.adapters.get(ownerOf(value)) }
  return isSequence(state) ? { group: live.groups.get(ownerOf(value)) } : {}
}

/** What a block counts as, the way the map is coloured now. */
function nameOf(block) {
  const state = states[stateOf(live.values[block])]
  if (by === 'kind') return state
  const { adapter, group, shared } = holders(block)
  if (by === 'tenant') return group?.flow || state
  // Of many in one block, nobody's colour.
  return adapter?.name ?? group?.name ?? (shared?.length === 1 ? shared[0].adapter.name : state)
}

function fillOf(block) {
  const value = live.values[block]
  const state = stateOf(value)
  if (by === 'kind') return stateColours[state]
  const framed = isFramed(states[state])
  const known = framed ? undefined : fills.get(value)
  if (known) return known
  const name = nameOf(block)
  const fill = name === states[state] ? stateColours[state] : nameColour(name)
  if (!framed) fills.set(value, fill)
  return fill
}

function layOut() {
  const ratio = Math.min(3, devicePixelRatio || 1)
  const width = Math.max(1, Math.floor(byId('map-frame').clientWidth * ratio))
  const count = live.values.length
  if (count === 0 || width < 2) return
  const tallest = TALLEST * ratio
  let size = Math.min(LARGEST_CELL * ratio, Math.max(1, Math.floor(Math.sqrt((width * tallest) / count))))
  while (size > 1 && Math.ceil(count / Math.floor(width / size)) * size > tallest) size--
  const columns = Math.floor(width / size)
  grid = { size, columns, gap: size >= 8 ? Math.round(ratio) : size >= 4 ? 1 : 0, ratio }
  canvas.width = width
  canvas.height = Math.ceil(count / columns) * size
  canvas.style.height = `${canvas.height / ratio}px`
  drawAll()
}

/** Where a block is drawn; the columns fill the width to the pixel. */
function place(block) {
  const { size, columns, gap } = grid
  const column = block % columns
  const left = Math.round((column * canvas.width) / columns)
  const right = Math.round(((column + 1) * canvas.width) / columns)
  return [left, Math.floor(block / columns) * size, right - left - (column === columns - 1 ? 0 : gap), size - gap]
}

function draw(block) {
  context.fillStyle = fillOf(block)
  context.fillRect(...place(block))
}

function drawAll() {
  context.clearRect(0, 0, canvas.width, canvas.height)
  const order = new Map()
  // Cells of one colour together: setting it is what costs.
  for (let block = 0; block < live.values.length; block++) {
    const fill = fillOf(block)
    const cells = order.get(fill)
    if (cells) cells.push(block)
    else order.set(fill, [block])
  }
  for (const [fill, cells] of order) {
    context.fillStyle = fill
    for (const block of cells) context.fillRect(...place(block))
  }
  mark()
}

/** The block that is pointed at. */
function mark() {
  if (at < 0) return
  const [left, top, width, height] = place(at)
  context.strokeStyle = colour('--ink')
  context.lineWidth = Math.max(1, grid.ratio)
  context.strokeRect(left - 0.5, top - 0.5, Math.max(width + 1, 4), Math.max(height + 1, 4))
}

function point(block) {
  if (block === at) return
  at = block
  drawAll()
  tellBlock()
}

function tellBlock() {
  if (at < 0 || !live.hello) return setText(byId('map-told'), 'Point at a block, or go through them with the arrow keys.')
  const value = live.values[at]
  const state = states[stateOf(value)]
  const { adapter, group, shared } = holders(at)
  const parts = [`Block ${whole(at)}`, isFramed(state) ? `frames of it, ${ownerOf(value)} taken` : state]
  if (adapter) parts.push(adapter.name, `version ${adapter.digest}`, `${bytes(adapter.bytes)} in all`)
  if (shared) parts.push(shared.map(({ adapter: { name }, frames }) => `${name} (${frames})`).join(', '))
  if (group) parts.push(group.name, ...(group.flow ? [`for ${group.flow}`] : []))
  setText(byId('map-told'), parts.join(' · '))
}

const labels = {
  free: 'Free',
  sequence: 'Sequences',
  shared: 'Shared by sequences',
  prefix: 'Cached prefixes',
  adapter: 'Adapters in use',
  'idle adapter': 'Idle adapters',
  framed: 'Shared by adapters',
  'idle framed': 'Idle, shared by adapters',
}
const property = (state) => `--block-${state.replaceAll(' ', '-')}`

/** What the colours mean, with how many blocks each has: kinds, or those who have most. */
function legend() {
  const sums = new Map()
  for (let block = 0; block < live.values.length; block++) {
    const name = nameOf(block)
    const known = sums.get(name)
    if (known) known.blocks++
    else sums.set(name, { name, fill: fillOf(block), blocks: 1 })
  }
  const kinds =
    by === 'kind' ? states.map((state, i) => sums.get(state) ?? { name: state, fill: stateColours[i], blocks: 0 }) : []
  const most = by === 'kind' ? [] : [...sums.values()].sort((a, b) => b.blocks - a.blocks).slice(0, MOST_NAMED)
  byId('legend').replaceChildren(
    ...[...kinds, ...most].map(({ name, fill, blocks }) =>
      make(
        'li',
        {},
        make('span', { class: 'swatch', style: { background: fill } }),
        make('span', { class: 'who' }, labels[name] ?? name),
        make('b', {}, whole(blocks)),
      ),
    ),
  )
}

function recolour() {
  if (!live.hello) return
  fills.clear()
  stateColours = states.map((state) => colour(property(state)))
  drawAll()
  legend()
}

export function startPool() {
  choice(
    byId('map-by'),
    [
      ['kind', 'Kind'],
      ['adapter', 'Adapter'],
      ['tenant', 'Tenant'],
    ],
    (value) => {
      by = value
      recolour()
    },
  )
  on('hello', ({ states: told, engine }) => {
    states = told
    stateColours = states.map((state) => colour(property(state)))
    legend()
    const { blockCount, blockSize, blockBytes } = engine
    const size = (blockCount * blockBytes) / 2 ** 20
    setText(byId('map-size'), `${whole(blockCount)} blocks of ${whole(blockSize)} tokens, ${whole(size)} MiB`)
  })
  on('owners', () => fills.clear())
  on('map', (changed) => {
    if (!changed || canvas.width < 2) layOut()
    else for (const [first, length] of changed) for (let i = 0; i < length; i++) draw(first + i)
    mark()
  })
  on('second', () => {
    if (!byId('view-pool').hidden) legend()
    tellBlock()
  })
  on('theme', recolour)
  new ResizeObserver(() => live.hello && layOut()).observe(byId('map-frame'))
  canvas.addEventListener('pointermove', ({ offsetX, offsetY }) => {
    const { size, columns, ratio } = grid
    const column = Math.min(columns - 1, Math.max(0, Math.floor((offsetX * ratio * columns) / canvas.width)))
    const block = Math.floor((offsetY * ratio) / size) * columns + column
    point(block < live.values.length ? block : -1)
  })
  canvas.addEventListener('pointerleave', () => point(-1))
  canvas.addEventListener('keydown', (event) => {
    const steps = {
      ArrowRight: 1,
      ArrowLeft: -1,
      ArrowDown: grid.columns,
      ArrowUp: -grid.columns,
      Home: -Infinity,
      End: Infinity,
    }
    const step = steps[event.key]
    if (step === undefined) return
    event.preventDefault()
    point(Math.max(0, Math.min(live.values.length - 1, (at < 0 ? 0 : at) + step)))
  })
}
