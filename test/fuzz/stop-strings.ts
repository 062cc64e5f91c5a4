/** Stop strings over random alphabets: whatever the pieces, what is given out is what a plain search would cut. */
import { StopAutomaton, StopStrings } from '../../server/openai/stop-strings.ts'
import { oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

const ALPHABETS = [['a'], ['a', 'b'], ['a', 'b', 'c', ' '], ['\ud83d', '\ude42', 'x'], ['\u0000', '\uffff'], ['é', 'e', '\u0301']]

/** Of the stops that are whole in `text`: the one that starts first, of those the longest. */
function search(stops: readonly string[], text: string): { stop: string; at: number } | undefined {
  let best: { stop: string; at: number } | undefined
  for (const stop of stops) {
    const at = text.indexOf(stop)
    if (at >= 0 && (!best || at < best.at || (at === best.at && stop.length > best.stop.length))) best = { stop, at }
  }
  return best
}

/** Units at the end of `text` that begin a stop string: they must be held back, and no others. */
function undecided(stops: readonly string[], text: string): number {
  for (let length = Math.min(text.length, Math.max(0, ...stops.map((stop) => stop.length - 1))); length > 0; length--)
    if (stops.some((stop) => stop.length > length && text.endsWith(stop.slice(0, length)))) return length
  return 0
}

function attempt(random: Random): string {
  const alphabet = random.pick(ALPHABETS)
  const letters = (most: number) => Array.from({ length: random.below(most + 1) }, () => random.pick(alphabet)).join('')
  const word = () => (random.below(20) ? letters(1 + random.below(12)) : oddText(random).slice(0, 1024))
  const stops = Array.from({ length: random.below(1 + random.pick([1, 4, 64])) }, word).filter((stop) => stop !== '')
  const include = random.below(2) === 1
  const strings = new StopStrings(new StopAutomaton(stops), include)
  let text = ''
  let given = ''
  for (let piece = 0; piece < 1 + random.below(20); piece++) {
    const next = random.below(4)
      ? letters(8)
      : `${letters(4)}${stops.length > 0 ? random.pick(stops).slice(0, random.below(12)) : ''}`
    text += next
    const { text: came, stop } = strings.push(next)
    given += came
    const right = search(stops, text)
    const wanted = right
      ? text.slice(0, right.at + (include ? right.stop.length : 0))
      : text.slice(0, text.length - undecided(stops, text))
    if (stop !== right?.stop || given !== wanted)
      throw new Fault(JSON.stringify({ stops, include, text, stop, given, right, wanted }))
    if (stop !== undefined) return 'stopped'
  }
  given += strings.flush()
  if (given !== text) throw new Fault(`the end is lost: ${JSON.stringify({ stops, text, given })}`)
  return 'ran on'
}

await run({ name: 'stop-strings', attempt, expected: ['stopped', 'ran on'], patience: 2000 })
