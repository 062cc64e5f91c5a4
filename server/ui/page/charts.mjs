/** Curves of the last minutes, one point a second. */
import { byId, colour, make, milliseconds, setText, short } from './dom.mjs'
import { on } from './live.mjs'

const SECONDS = 300
/** Seconds that are shown: the least that holds all there is. */
const WINDOWS = [60, 120, SECONDS]
const CHARTS = [
  {
    id: 'rate',
    title: 'Throughput, tokens a second',
    unit: short,
    lines: [
      ['generation', 'Generated', '--block-sequence'],
      ['prompt', 'Prompts', '--second'],
    ],
    of: (s) => s,
  },
  {
    id: 'ttft',
    title: 'Time to first token',
    unit: milliseconds,
    lines: [
      ['p50', 'Median', '--block-sequence'],
      ['p99', 'p99', '--block-shared'],
    ],
    of: (s) => s.ttft,
  },
  {
    id: 'itl',
    title: 'Between tokens',
    unit: milliseconds,
    lines: [
      ['p50', 'Median', '--block-sequence'],
      ['p99', 'p99', '--block-shared'],
    ],
    of: (s) => s.itl,
  },
]
/** @type {any[]} */
const points = []
let pointed

/** A round number at or above, and how many parts it has. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)))
  for (const times of [1, 2, 4, 5, 10]) if (times * power >= value) return times * power
  return 10 * power
}

const ago = (seconds) => (seconds === 0 ? 'now' : seconds < 120 ? `${seconds} s ago` : `${seconds / 60} min ago`)

function draw(chart) {
  const canvas = /** @type {HTMLCanvasElement} */ (byId(`chart-${chart.id}`))
  const ratio = devicePixelRatio || 1
  const width = canvas.clientWidth
  const height = canvas.clientHeight
  if (width === 0) return
  canvas.width = width * ratio
  canvas.height = height * ratio
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'))
  context.scale(ratio, ratio)
  const inner = { left: 46, right: width - 4, top: 8, bottom: height - 20 }
  const values = points.map(chart.of)
  const span = WINDOWS.find((seconds) => points.length <= seconds) ?? SECONDS
  const most = Math.max(0, ...values.flatMap((value) => chart.lines.map(([field]) => value[field] ?? 0)))
  const top = most === 0 ? 1 : ceiling(most)
  const x = (i) => inner.right - ((points.length - 1 - i) / (span - 1)) * (inner.right - inner.left)
  const y = (value) => inner.bottom - (value / top) * (inner.bottom - inner.top)
  context.font = '11px system-ui, sans-serif'
  context.textBaseline = 'middle'
  context.lineWidth = 1
  for (const part of [0, 0.5, 1]) {
    const at = Math.round(y(part * top)) + 0.5
    context.strokeStyle = colour('--line')
    context.beginPath()
    context.moveTo(inner.left, at)
    context.lineTo(inner.right, at)
    context.stroke()
    if (most === 0 && part > 0) continue
    context.fillStyle = colour('--muted')
    context.textAlign = 'right'
    context.fillText(part === 0 ? '0' : chart.unit(part * top), inner.left - 6, at)
  }
  context.fillStyle = colour('--muted')
  context.textBaseline = 'bottom'
  for (const [part, align] of [
    [1, 'left'],
    [0.5, 'center'],
    [0, 'right'],
  ]) {
    context.textAlign = /** @type {CanvasTextAlign} */ (align)
    context.fillText(ago(Number(part) * span), inner.right - Number(part) * (inner.right - inner.left), height - 2)
  }
  for (const [field, , property] of chart.lines) {
    context.strokeStyle = context.fillStyle = colour(property)
    context.lineWidth = 1.6
    context.lineJoin = 'round'
    context.beginPath()
    let drawing = false
    for (const [i, value] of values.entries()) {
      const number = value[field]
      if (number === null) {
        drawing = false
        continue
      }
      if (drawing) context.lineTo(x(i), y(number))
      else context.moveTo(x(i), y(number))
      // One alone is a dot.
      if (!drawing && (values[i + 1]?.[field] ?? null) === null) context.fillRect(x(i) - 1, y(number) - 1, 2, 2)
      drawing = true
    }
    context.stroke()
  }
  const chosen =
    pointed?.id === chart.id
      ? Math.round(points.length - 1 - ((inner.right - pointed.x) / (inner.right - inner.left)) * (span - 1))
      : points.length - 1
  const value = values[chosen]
  if (pointed?.id === chart.id && value) {
    context.strokeStyle = colour('--edge')
    context.lineWidth = 1
    context.beginPath()
    context.moveTo(Math.round(x(chosen)) + 0.5, inner.top)
    context.lineTo(Math.round(x(chosen)) + 0.5, inner.bottom)
    context.stroke()
  }
  for (const [field] of chart.lines)
    setText(byId(`value-${chart.id}-${field}`), value ? (value[field] === null ? '–' : chart.unit(value[field])) : '–')
}

export function startCharts() {
  for (const { id, title, lines } of CHARTS) {
    const legend = lines.map(([field, name, property]) =>
      make(
        'li',
        {},
        make('span', { class: 'swatch', style: { background: `var(${property})` } }),
        name,
        make('b', { id: `value-${id}-${field}` }, '–'),
      ),
    )
    const canvas = make('canvas', {
      id: `chart-${id}`,
      role: 'img',
      'aria-label': `${title} of the last five minutes; the numbers of now stand above`,
    })
    canvas.addEventListener('pointermove', ({ offsetX }) => {
      pointed = { id, x: offsetX }
      drawAll()
    })
    canvas.addEventListener('pointerleave', () => {
      pointed = undefined
      drawAll()
    })
    byId('charts').append(
      make(
        'section',
        { class: 'card', 'aria-labelledby': `title-${id}` },
        make('div', { class: 'head' }, make('h2', { id: `title-${id}` }, title), make('ul', { class: 'legend' }, ...legend)),
        canvas,
      ),
    )
  }
  on('second', (told) => {
    points.push(told)
    if (points.length > SECONDS) points.shift()
    drawAll()
  })
  on('theme', drawAll)
  new ResizeObserver(drawAll).observe(byId('charts'))
}

function drawAll() {
  if (!byId('view-pool').hidden) for (const chart of CHARTS) draw(chart)
}
