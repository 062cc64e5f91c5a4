/** The list of adapters, a page at a time, and what can be done with each. */
import { byId, bytes, make, milliseconds, percent, setText, toast, whole } from './dom.mjs'
import { ask, call, live, on } from './live.mjs'

const COUNT = 50
const asked = { find: '', sort: 'traffic', from: 0, count: COUNT }
let shown = false
/** @type {any} */
let list
/** Name of the adapter whose dialog is open. */
let open
/** What the open dialog was drawn from. */
let drawn = ''

const dialog = () => /** @type {HTMLDialogElement} */ (byId('adapter-dialog'))
const watch = () => ask({ adapters: shown ? asked : null })
const pathOf = (name) => `adapters/${name.split('/').map(encodeURIComponent).join('/')}`
/** Where it can be loaded from again: a folder, or a place on the hub. */
const sourceOf = ({ source, root }) => (source === null ? root : source.replace(/^hub: /, ''))
const short = (digest) => (digest === null ? '–' : digest.slice(0, 12))

/** The list is told once a second while it is looked at. */
export function showAdapters(visible) {
  shown = visible
  watch()
}

function tier(name) {
  const words = { pool: 'Pool', host: 'Host', disk: 'Disk', refused: 'Refused' }
  return make('span', { class: 'tier', 'data-tier': name }, make('span', { class: 'swatch' }), words[name])
}

function row(adapter) {
  const { name, digest, method, rank, leases, pinned, canary, traffic, rate } = adapter
  const share = make(
    'span',
    { class: 'share', title: `${rate} requests a second` },
    percent(traffic),
    make('span', { class: 'meter' }, make('i', { style: { width: `${traffic * 100}%` } })),
  )
  const tags = [
    pinned && make('span', { class: 'tag' }, 'pinned'),
    canary && make('span', { class: 'tag canary' }, `canary ${percent(canary.share)}`),
  ]
  const size = Math.max(adapter.bytes.pool, adapter.bytes.host)
  return make(
    'tr',
    {},
    make('td', { class: 'name', title: name }, name, ...tags.filter(Boolean)),
    make('td', {}, tier(adapter.tier)),
    make('td', { class: 'number' }, share),
    make('td', { class: 'wide mono' }, short(digest)),
    make('td', { class: 'wide' }, method === null ? '–' : `${method}${rank === null ? '' : ` r${rank}`}`),
    make('td', { class: 'number wide' }, whole(leases)),
    make('td', { class: 'number wide' }, size === 0 ? '–' : bytes(size)),
    make(
      'td',
      { class: 'number' },
      make(
        'button',
        { type: 'button', 'data-name': name, 'aria-label': `Open ${name}`, onclick: () => show(name) },
        live.hello?.manages ? 'Manage' : 'Details',
      ),
    ),
  )
}

function focusOn(name) {
  for (const button of byId('adapters').querySelectorAll('button'))
    if (button.dataset.name === name) button.focus({ preventScroll: true })
}

function draw() {
  const { known, found, from, rows } = list
  // The button that has the focus keeps it.
  const focused = /** @type {HTMLElement} */ (document.activeElement)?.dataset?.name
  byId('adapters').replaceChildren(
    ...(rows.length > 0
      ? rows.map(row)
      : [
          make(
            'tr',
            {},
            make('td', { class: 'empty', colspan: 8 }, known === 0 ? 'No adapter is known.' : 'No name holds that.'),
          ),
        ]),
  )
  if (focused !== undefined) focusOn(focused)
  setText(byId('adapters-count'), found === known ? `${whole(known)} known` : `${whole(found)} of ${whole(known)}`)
  setText(byId('adapters-page'), found > COUNT ? `${whole(from + 1)} to ${whole(Math.min(found, from + COUNT))}` : '')
  byId('adapters-back').disabled = from === 0
  byId('adapters-on').disabled = from + COUNT >= found
  byId('adapters-back').parentElement.hidden = found <= COUNT
}

const facts = (pairs) =>
  make(
    'dl',
    { class: 'facts' },
    ...pairs.flatMap(([term, value]) => (value === null ? [] : [make('dt', {}, term), make('dd', {}, value)])),
  )

const versionFacts = (version) => [
  ['Version', version.digest === null ? 'not read yet' : make('span', { class: 'mono' }, version.digest)],
  ['From', make('span', { class: 'mono' }, version.source ?? version.root)],
  ['Method', version.method && `${version.method}${version.rank === null ? '' : `, rank ${version.rank}`}`],
  ['In use', `${whole(version.leases)} now, ${whole(version.uses)} since it is known`],
  ['Memory', `${bytes(version.bytes.pool)} of the pool, ${bytes(version.bytes.host)} of the host's`],
  ['Load time', version.load_ms === null ? null : milliseconds(version.load_ms)],
  ['Refused', version.refusal],
]

/** Does one thing, tells how it went, and has the list and the dialog told anew. */
async function act(button, done, work) {
  button.disabled = true
  try {
    await work()
    toast(done)
    await refresh()
  } catch (error) {
    toast(error.message, true)
  } finally {
    button.disabled = false
    watch()
  }
}

/** A button that is pressed twice for what cannot be taken back. */
function twice(text, attributes, work) {
  const button = make('button', { type: 'button', ...attributes }, text)
  let sure = false
  button.addEventListener('click', () => {
    if (sure) return work(button)
    sure = true
    button.textContent = `Really ${text.toLowerCase()}?`
    setTimeout(() => {
      sure = false
      button.textContent = text
    }, 4000)
  })
  return button
}

function actions(adapter) {
  const { name, tier, pinned, canary, previous } = adapter
  const button = (text, done, work, attributes = {}) => {
    const made = make('button', { type: 'button', ...attributes }, text)
    made.addEventListener('click', () => act(made, done, work))
    return made
  }
  const buttons = []
  if (tier === 'disk' || tier === 'refused')
    buttons.push(button('Load', `${name} is in host memory`, () => call('POST', 'adapters', { name, src: sourceOf(adapter) })))
  buttons.push(
    button(pinned ? 'Unpin' : 'Pin', pinned ? `${name} is pinned no longer` : `${name} is pinned`, () =>
      call('POST', 'adapters', { name, pin: !pinned }),
    ),
  )
  if (!canary && previous)
    buttons.push(button('Roll back', `${name} is what it was before`, () => call('POST', `${pathOf(name)}/rollback`, {})))
  buttons.push(
    twice('Unload', { class: 'danger' }, (made) =>
      act(made, `${name} is served no longer`, async () => {
        await call('DELETE', pathOf(name))
        open = undefined
        dialog().close()
      }),
    ),
  )
  return make('div', { class: 'tools acts' }, ...buttons)
}

function slider(label, value) {
  const told = make('output', {}, percent(value))
  const input = make('input', { type: 'range', min: 1, max: 99, value: Math.round(value * 100), 'aria-label': label })
  input.addEventListener('input', () => setText(told, percent(input.value / 100)))
  return { element: make('div', { class: 'slide' }, input, told), share: () => Number(input.value) / 100 }
}

function canaryPart({ name, digest, canary, root }) {
  const part = make(
    'div',
    { class: 'sub' },
    make('h3', {}, canary ? `Canary, ${percent(canary.share)} of the requests` : 'A canary beside it'),
  )
  const manages = live.hello?.manages
  const { element, share } = slider('Share of the requests', canary?.share ?? 0.1)
  if (canary) {
    const { main, canary: taken, fallbacks } = canary.requests
    part.append(
      facts([
        ...versionFacts(canary),
        [
          'Requests',
          `${whole(taken)} by it, ${whole(main)} by the version before${fallbacks > 0 ? `, ${whole(fallbacks)} of them for want of it` : ''}`,
        ],
      ]),
    )
    if (!manages) return part
    const weigh = make('button', { type: 'button' }, 'Set share')
    weigh.addEventListener('click', () =>
      act(weigh, `the canary of ${name} takes ${percent(share())}`, () => call('POST', 'adapters', { name, canary: share() })),
    )
    const promote = make('button', { type: 'button', class: 'main' }, 'Promote')
    // What is promoted is what is seen here.
    promote.addEventListener('click', () =>
      act(promote, `${name} stands for its canary`, () =>
        call('POST', `${pathOf(name)}/promote`, canary.digest === null ? {} : { expected_digest: canary.digest }),
      ),
    )
    const rollback = make('button', { type: 'button' }, 'Roll back')
    rollback.addEventListener('click', () =>
      act(rollback, `the canary of ${name} is gone`, () => call('POST', `${pathOf(name)}/rollback`, {})),
    )
    part.append(make('h3', {}, 'Share'), element, make('div', { class: 'tools end' }, rollback, weigh, promote))
    return part
  }
  if (!manages) return make('span')
  const folder = make('input', { type: 'text', required: true, spellcheck: 'false', autocomplete: 'off', placeholder: root })
  const begin = make('button', { type: 'submit' }, 'Begin')
  const form = make(
    'form',
    { class: 'canary' },
    make('label', { class: 'field block' }, make('span', {}, 'Its folder'), folder),
    make('h3', {}, 'Share'),
    element,
    make('div', { class: 'tools end' }, begin),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    act(begin, `${name} has a canary`, () =>
      call('POST', 'adapters', { name, src: folder.value, canary: share(), ...(digest !== null && { expected_digest: digest }) }),
    )
  })
  part.append(form)
  return part
}

function fill(adapter) {
  const told = JSON.stringify([adapter, live.hello?.manages])
  if (told === drawn) return
  drawn = told
  const { previous, draining } = adapter
  dialog().replaceChildren(
    make('button', { type: 'button', class: 'quiet corner', 'aria-label': 'Close', onclick: () => dialog().close() }, '✕'),
    make('h2', { id: 'adapter-title' }, adapter.name),
    facts([
      ['Tier', tier(adapter.tier)],
      ['Pinned', adapter.pinned ? 'yes' : 'no'],
      ['Traffic', `${percent(adapter.traffic)}, ${adapter.rate} requests a second`],
      ...versionFacts(adapter),
      [
        'Before it',
        previous && make('span', { class: 'mono' }, previous.digest === null ? previous.root : short(previous.digest)),
      ],
      [
        'Draining',
        draining.length === 0 ? null : draining.map((old) => `${short(old.digest)} (${old.leases} in use)`).join(', '),
      ],
    ]),
    live.hello?.manages ? actions(adapter) : '',
    canaryPart(adapter),
  )
}

async function refresh() {
  if (open === undefined) return
  const found = await (await call('GET', pathOf(open))).json()
  const known = list?.rows.find(({ name }) => name === open)
  const state = found.bytes.pool > 0 ? 'pool' : found.bytes.host > 0 ? 'host' : found.refusal === null ? 'disk' : 'refused'
  if (open === found.name) fill({ traffic: 0, rate: 0, ...known, ...found, tier: state })
}

async function show(name) {
  open = name
  drawn = ''
  try {
    await refresh()
    dialog().showModal()
  } catch (error) {
    toast(error.message, true)
  }
}

function showLoad() {
  open = undefined
  const name = make('input', { type: 'text', required: true, maxlength: 256, autocomplete: 'off', spellcheck: 'false' })
  const folder = make('input', {
    type: 'text',
    required: true,
    autocomplete: 'off',
    spellcheck: 'false',
    placeholder: 'relative to the folder of adapters, or absolute',
  })
  const pin = make('input', { type: 'checkbox' })
  const replace = make('input', { type: 'checkbox' })
  const send = make('button', { type: 'submit', class: 'main' }, 'Load')
  const form = make(
    'form',
    {},
    make('label', { class: 'field block' }, make('span', {}, 'Name'), name),
    make('label', { class: 'field block' }, make('span', {}, 'Folder'), folder),
    make(
      'div',
      { class: 'tools', style: { 'margin-top': '12px' } },
      make('label', { class: 'field' }, pin, 'Pin it in host memory'),
      make('label', { class: 'field' }, replace, 'Replace a name that is known'),
    ),
    make('div', { class: 'tools end' }, make('button', { type: 'button', onclick: () => dialog().close() }, 'Cancel'), send),
  )
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    act(send, `${name.value} is served`, async () => {
      await call('POST', 'adapters', { name: name.value, src: folder.value, pin: pin.checked, replace: replace.checked })
      dialog().close()
    })
  })
  dialog().replaceChildren(make('h2', { id: 'adapter-title' }, 'Load an adapter'), form)
  dialog().showModal()
}

export function startAdapters() {
  const find = /** @type {HTMLInputElement} */ (byId('adapters-find'))
  const sort = /** @type {HTMLSelectElement} */ (byId('adapters-sort'))
  const go = (from) => {
    asked.from = Math.max(0, from)
    watch()
  }
  let typed
  find.addEventListener('input', () => {
    clearTimeout(typed)
    typed = setTimeout(() => {
      asked.find = find.value
      go(0)
    }, 120)
  })
  sort.addEventListener('change', () => {
    asked.sort = sort.value
    go(0)
  })
  byId('adapters-back').addEventListener('click', () => go(asked.from - COUNT))
  byId('adapters-on').addEventListener('click', () => go(asked.from + COUNT))
  byId('adapters-load').addEventListener('click', showLoad)
  dialog().addEventListener('close', () => {
    // The button that opened it has been drawn anew since.
    if (open !== undefined) focusOn(open)
    open = undefined
  })
  on('hello', ({ manages }) => {
    byId('adapters-load').hidden = !manages
    byId('adapters-closed').hidden = manages
    watch()
  })
  on('adapters', (told) => {
    list = told
    draw()
  })
}
