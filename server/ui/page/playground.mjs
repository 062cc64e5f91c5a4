/** One prompt through several adapters, or mixes of them, side by side. */
import { byId, make, milliseconds, setText, toast } from './dom.mjs'
import { ask, call, live, on } from './live.mjs'

const MOST_LANES = 6
const MOST_MIXED = 16
/** @type {{ mix: { name: string, weight: number }[], element: HTMLElement, draw(): void }[]} */
const lanes = []
let running

/** RFC 9651: a token where the name is one, a string otherwise; percent-encoded beyond ASCII, as a header holds no more. */
function headerOf(mix) {
  const item = ({ name, weight }) => {
    const ascii = /^[\x20-\x7e]*$/.test(name) ? name : encodeURIComponent(name)
    const text = /^[A-Za-z*][\w!#$%&'*+.^`|~:/-]*$/.test(name) ? name : `"${ascii.replace(/["\\]/g, '\\$&')}"`
    return weight === 1 ? text : `${text};w=${Number(weight.toFixed(2))}`
  }
  return mix.map(item).join(', ')
}

function addLane(mix = []) {
  if (lanes.length >= MOST_LANES) return toast(`${MOST_LANES} lanes are the most`, true)
  const title = make('h2', {})
  const remove = make('button', { type: 'button', class: 'quiet' }, 'Remove')
  const rows = make('div', { class: 'mixes' })
  const add = make('input', {
    type: 'text',
    list: 'names',
    placeholder: 'Add an adapter',
    'aria-label': 'Add an adapter to this lane',
    autocomplete: 'off',
    spellcheck: 'false',
    maxlength: 256,
  })
  const answer = make('div', { class: 'answer', role: 'region', tabindex: 0, 'aria-label': 'Answer' })
  const foot = make('div', { class: 'foot' })
  const element = make(
    'section',
    { class: 'card lane' },
    make('div', { class: 'top' }, make('div', { class: 'title' }, title, remove), rows, add),
    answer,
    foot,
  )
  const lane = { mix, element, answer, foot, draw }
  remove.addEventListener('click', () => {
    lanes.splice(lanes.indexOf(lane), 1)
    element.remove()
  })
  add.addEventListener('input', () => ask({ names: add.value }))
  add.addEventListener('focus', () => ask({ names: add.value }))
  const take = () => {
    const name = add.value.trim()
    if (name === '') return
    add.value = ''
    if (mix.some((one) => one.name === name)) return toast(`${name} is in this lane already`, true)
    if (mix.length >= MOST_MIXED) return toast(`${MOST_MIXED} adapters are the most of a mix`, true)
    mix.push({ name, weight: 1 })
    draw()
  }
  add.addEventListener('change', take)
  add.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.ctrlKey) return
    event.preventDefault()
    take()
  })
  function draw() {
    setText(title, mix.length === 0 ? `${live.hello?.model ?? 'base'} (base alone)` : mix.map(({ name }) => name).join(' + '))
    rows.replaceChildren(
      ...mix.map((one, i) => {
        const told = make('output', {}, one.weight.toFixed(2))
        const weight = make('input', {
          type: 'range',
          min: -1,
          max: 2,
          step: 0.05,
          value: one.weight,
          'aria-label': `Weight of ${one.name}`,
        })
        weight.addEventListener('input', () => {
          one.weight = Number(weight.value)
          setText(told, one.weight.toFixed(2))
        })
        const out = make('button', { type: 'button', class: 'quiet', 'aria-label': `Take ${one.name} out` }, '✕')
        out.addEventListener('click', () => {
          mix.splice(i, 1)
          draw()
          add.focus()
        })
        return make('div', { class: 'mix' }, make('span', { class: 'who', title: one.name }, one.name), weight, told, out)
      }),
    )
  }
  draw()
  lanes.push(lane)
  byId('lanes').append(element)
}

/** Events of a stream, each the JSON of one chunk. */
async function* chunks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    text += value
    const lines = text.split('\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      if (!line.startsWith('data: ') || line === 'data: [DONE]') continue
      const chunk = JSON.parse(line.slice(6))
      if (chunk.error) throw new Error(chunk.error.message)
      yield chunk
    }
  }
}

async function runLane(lane, signal) {
  const { mix, answer, foot, element } = lane
  const chat = byId('kind').value === 'chat'
  const prompt = byId('prompt').value
  const body = {
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: Number(byId('tokens').value),
    temperature: Number(byId('temperature').value),
    ...(chat ? { messages: [{ role: 'user', content: prompt }] } : { prompt }),
  }
  answer.textContent = ''
  answer.classList.remove('failed')
  foot.replaceChildren()
  element.dataset.state = 'running'
  const started = performance.now()
  let first
  let tokens = 0
  try {
    const headers = mix.length > 0 ? { 'x-lora-adapter': headerOf(mix) } : {}
    const response = await call('POST', chat ? 'v1/chat/completions' : 'v1/completions', body, headers, signal)
    for await (const { choices, usage } of chunks(response.body)) {
      if (usage) tokens = usage.completion_tokens
      const piece = chat ? choices[0]?.delta?.content : choices[0]?.text
      if (!piece) continue
      first ??= performance.now()
      answer.append(piece)
      answer.scrollTop = answer.scrollHeight
    }
    const end = performance.now()
    const fact = (label, value) => make('span', {}, `${label} `, make('b', {}, value))
    foot.replaceChildren(
      fact('First token', first === undefined ? '–' : milliseconds(first - started)),
      fact('Tokens', String(tokens)),
      fact('in', milliseconds(end - started)),
      ...(mix.length > 0
        ? [
            make(
              'span',
              { class: 'mono', title: response.headers.get('x-lora-digest') },
              (response.headers.get('x-lora-digest') ?? '')
                .split(', ')
                .map((digest) => digest.slice(0, 8))
                .join(' '),
            ),
          ]
        : []),
    )
  } catch (error) {
    if (!signal.aborted) {
      answer.classList.add('failed')
      answer.textContent = error.message
    }
  } finally {
    element.dataset.state = 'done'
  }
}

async function run() {
  if (running || !live.hello?.generates) return
  running = new AbortController()
  byId('run').disabled = true
  byId('stop').disabled = false
  await Promise.all(lanes.map((lane) => runLane(lane, running.signal)))
  running = undefined
  byId('run').disabled = false
  byId('stop').disabled = true
}

export function startPlayground() {
  byId('ask').addEventListener('submit', (event) => {
    event.preventDefault()
    run()
  })
  byId('stop').addEventListener('click', () => running?.abort())
  byId('lane-add').addEventListener('click', () => addLane())
  // Wherever the focus is: nothing has it when the view has just been shown.
  addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey) && !byId('view-playground').hidden) run()
  })
  let fresh = true
  on('hello', ({ generates }) => {
    byId('run').disabled = !generates
    byId('playground-closed').hidden = generates
    if (fresh) ask({ names: '' })
    for (const lane of lanes) lane.draw()
  })
  on('names', ({ names }) => {
    byId('names').replaceChildren(...names.map((name) => make('option', { value: name })))
    if (!fresh) return
    fresh = false
    // Something to compare at once: the base and the first two.
    addLane()
    for (const name of names.slice(0, 2)) addLane([{ name, weight: 1 }])
  })
}
