/** Small helpers: elements, numbers as people read them, and colours that follow the theme. */

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const byId = (id) => /** @type {any} */ (document.getElementById(id))

/**
 * An element with attributes (`class`, `onclick`, …) and children; texts are texts, never markup.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null | undefined)} children
 * @returns {any}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else if (name === 'style') for (const [property, to] of Object.entries(value)) element.style.setProperty(property, String(to))
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  element.append(...children.filter((child) => child !== null && child !== undefined))
  return element
}

/** Changes the document only where the text is another: what stays is not read aloud again. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text
}

export const whole = (n) => Math.round(n).toLocaleString('en')
/** At most three digits: 1.2k, 34, 0.5. */
export function short(n) {
  if (n >= 1e6) return `${Number((n / 1e6).toPrecision(3))}M`
  if (n >= 1e4) return `${Number((n / 1e3).toPrecision(3))}k`
  return n >= 100 ? whole(n) : String(Number(n.toPrecision(2)))
}
export function bytes(n) {
  if (n === 0) return '0'
  const power = Math.min(4, Math.floor(Math.log2(Math.max(1, n)) / 10))
  return `${Number((n / 1024 ** power).toPrecision(3))} ${['B', 'KiB', 'MiB', 'GiB', 'TiB'][power]}`
}
export function milliseconds(ms) {
  if (ms === null || ms === undefined) return '–'
  return ms >= 1000 ? `${Number((ms / 1000).toPrecision(3))} s` : `${Number(ms.toPrecision(ms < 1 ? 2 : 3))} ms`
}
export const percent = (part) =>
  part === 0 ? '0\u00a0%' : part < 0.001 ? '< 0.1\u00a0%' : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)}\u00a0%`

let probe
/** What a custom property comes to in the theme of now. */
export function colour(property) {
  if (!probe) {
    probe = make('i', { hidden: true })
    document.body.append(probe)
  }
  probe.style.color = `var(${property}, var(--block-other))`
  return getComputedStyle(probe).color
}

export const isDark = () => {
  const chosen = document.documentElement.dataset.theme
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
}

/** The same colour for the same name, always. */
export function nameColour(name) {
  let hash = 2166136261
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 16777619)
  const hue = ((hash >>> 0) * 137.508) % 360
  const variant = (hash >>> 9) % 3
  return isDark() ? `hsl(${hue} 55% ${58 + variant * 7}%)` : `hsl(${hue} 58% ${38 + variant * 7}%)`
}

/** Buttons of which one is chosen, with arrow keys as radio buttons have them. */
export function choice(group, options, onChange) {
  const buttons = options.map(([value, text]) => make('button', { type: 'button', role: 'radio', 'data-value': value }, text))
  const choose = (chosen, tell = true) => {
    for (const button of buttons) {
      button.setAttribute('aria-checked', String(button === chosen))
      button.tabIndex = button === chosen ? 0 : -1
    }
    if (tell) onChange(chosen.dataset.value)
  }
  arrows(group, buttons, (button) => choose(button))
  for (const button of buttons) button.addEventListener('click', () => choose(button))
  group.append(...buttons)
  choose(buttons[0], false)
}

/** Left, right, Home and End go through `buttons`, focus them and call `then`. */
export function arrows(group, buttons, then) {
  group.addEventListener('keydown', (event) => {
    const at = buttons.indexOf(document.activeElement)
    const steps = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }
    const to = steps[event.key]
    if (to === undefined || at < 0) return
    event.preventDefault()
    const button = buttons[(to + buttons.length) % buttons.length]
    button.focus()
    then(button)
  })
}

/** Tells something for some seconds. */
export function toast(text, bad = false) {
  const told = make('div', { class: bad ? 'toast bad' : 'toast' }, text)
  byId('toasts').append(told)
  setTimeout(() => told.remove(), bad ? 9000 : 4000)
}
