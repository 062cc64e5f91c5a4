/** The page: its views, theme and key. */
import { showAdapters, startAdapters } from './adapters.mjs'
import { startCharts } from './charts.mjs'
import { arrows, byId, isDark, setText } from './dom.mjs'
import { connect, events, key, on, setKey } from './live.mjs'
import { startLoad } from './load.mjs'
import { startPlayground } from './playground.mjs'
import { startPool } from './pool.mjs'

const VIEWS = ['pool', 'adapters', 'playground']
const THEME = 'lorikeet-theme'
const THEMES = ['auto', 'light', 'dark']

function show(view) {
  for (const name of VIEWS) {
    const tab = byId(`tab-${name}`)
    tab.setAttribute('aria-selected', String(name === view))
    tab.tabIndex = name === view ? 0 : -1
    byId(`view-${name}`).hidden = name !== view
  }
  showAdapters(view === 'adapters')
  if (location.hash !== `#${view}`) history.replaceState(null, '', `#${view}`)
}

function startViews() {
  const tabs = VIEWS.map((name) => byId(`tab-${name}`))
  for (const [i, tab] of tabs.entries()) tab.addEventListener('click', () => show(VIEWS[i]))
  arrows(tabs[0].parentElement, tabs, (tab) => show(VIEWS[tabs.indexOf(tab)]))
  addEventListener('keydown', (event) => {
    const { target } = event
    const typing = target instanceof HTMLElement && target.closest('input, textarea, select, dialog') !== null
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return
    const view = VIEWS[Number(event.key) - 1]
    if (view) show(view)
    if (event.key === '/') {
      event.preventDefault()
      show('adapters')
      byId('adapters-find').focus()
    }
  })
  const asked = () => (VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : VIEWS[0])
  addEventListener('hashchange', () => show(asked()))
  show(asked())
}

function startTheme() {
  const button = byId('theme')
  const apply = (theme) => {
    if (theme === 'auto') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = theme
    setText(button, { auto: 'Theme: auto', light: 'Theme: light', dark: 'Theme: dark' }[theme])
    events.dispatchEvent(new CustomEvent('theme', { detail: isDark() }))
  }
  let theme = localStorage.getItem(THEME) ?? 'auto'
  if (!THEMES.includes(theme)) theme = 'auto'
  button.addEventListener('click', () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]
    localStorage.setItem(THEME, theme)
    apply(theme)
  })
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => apply(theme))
  apply(theme)
}

function startKey() {
  const dialog = /** @type {HTMLDialogElement} */ (byId('key-dialog'))
  const ask = (why) => {
    setText(byId('key-why'), why)
    byId('key').hidden = false
    if (!dialog.open) dialog.showModal()
  }
  on('key', (reason) =>
    ask(key() === '' ? 'This server asks for one before it shows what it does.' : `Not with this one: ${reason}.`),
  )
  byId('key').addEventListener('click', () => ask('Another key for this tab.'))
  byId('key-form').addEventListener('submit', () => {
    setKey(byId('key-input').value.trim())
    byId('key-input').value = ''
  })
}

on('state', ({ state, text }) => {
  byId('link').dataset.state = state
  setText(byId('link-text'), text)
})
on('hello', ({ model, version, engine, scheduling, fairness }) => {
  document.title = `${model} · Lorikeet`
  setText(
    byId('what'),
    `${model} · ${engine.deviceName}, ${engine.dtype} · ${scheduling}${scheduling === 'fair' ? ` by ${fairness}` : ''} · ${version}`,
  )
})
on('second', ({ unhealthy }) => {
  byId('link').dataset.state = unhealthy === null ? 'live' : 'away'
  setText(byId('link-text'), unhealthy ?? 'live')
})

startTheme()
startPool()
startLoad()
startCharts()
startAdapters()
startPlayground()
startKey()
startViews()
connect()
