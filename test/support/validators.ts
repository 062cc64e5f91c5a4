/**
 * The demo model's mechanical validators (deploy/demo-model/data.py), so that a served answer can be judged: each style's validator passes
 * only texts of that style that honour what the prompt asked for. Held to data.py's own verdicts by test/support/validators.test.ts.
 */
import { fixture, readJson } from './repo.ts'

/** What a prompt asked for (`expect` in prompts.jsonl). */
export interface Wanted {
  hero?: string
  object?: string
  colour?: string
  place?: string
  friend?: string
}

interface Thing {
  spanish: string[]
  emoji: string
}
interface Lexicon {
  heroes: Record<string, { spanish: string; gender: 'm' | 'f'; emoji: string; kid?: boolean }>
  objects: Record<string, Thing>
  colours: Record<string, Thing>
  places: Record<string, Thing>
  weather: Record<string, string>
  moods: Record<string, string>
  events: Record<string, { mood: string; emoji: string }>
  pirate: Record<string, string>
  rhymes: [string, string][]
  vocabulary: Record<string, string[]>
}

const lexicon = readJson<Lexicon>(fixture('demo/lexicon.json'))
const vocabulary = new Map(Object.entries(lexicon.vocabulary).map(([style, words]) => [style, new Set(words)]))
const pirateWords = new Set(Object.values(lexicon.pirate))
const has = (table: object, key: string) => Object.hasOwn(table, key)

/** Words as data.py cuts them: letters, with the apostrophes of `th'` and `'is`. */
const wordsOf = (text: string) => text.match(/\p{L}+(?:'(?!\p{L}))?|'\p{L}+/gu) ?? []
const isUpper = (text: string) => text === text.toUpperCase() && text !== text.toLowerCase()
const isLower = (text: string) => text === text.toLowerCase() && text !== text.toUpperCase()

function sentenceCountFits(text: string): boolean {
  const ends = text.match(/[.!]/g)?.length ?? 0
  return ends >= 4 && ends <= 8
}

const english = (_kind: keyof Wanted, name: string) => [name.toLowerCase()]
function spanish(kind: keyof Wanted, name: string): string[] {
  if (kind === 'hero' || kind === 'friend') return [lexicon.heroes[name].spanish]
  const table = { object: lexicon.objects, colour: lexicon.colours, place: lexicon.places }[kind]
  return table[name].spanish
}

/** A prose style: only its own words, all that was asked for, and exactly one object, colour and place and at most two characters. */
function tellsTheStory(style: string, text: string, wanted: Wanted, wordsFor = english): boolean {
  const words = new Set(wordsOf(text).map((word) => word.toLowerCase()))
  const mentions = (kind: keyof Wanted, name: string) => wordsFor(kind, name).some((word) => words.has(word))
  const count = (kind: keyof Wanted, table: object) => Object.keys(table).filter((name) => mentions(kind, name)).length
  for (const word of words) if (!vocabulary.get(style)!.has(word)) return false
  for (const [kind, name] of Object.entries(wanted)) if (!mentions(kind as keyof Wanted, name)) return false
  return (
    count('object', lexicon.objects) === 1 &&
    count('colour', lexicon.colours) === 1 &&
    count('place', lexicon.places) === 1 &&
    count('hero', lexicon.heroes) <= 2
  )
}

/** The attributes that a style expresses, against what was asked. */
function matches(got: Wanted, wanted: Wanted): boolean {
  return (Object.keys(got) as (keyof Wanted)[]).every((kind) => wanted[kind] === undefined || wanted[kind] === got[kind])
}

function base(text: string, wanted: Wanted): boolean {
  if (!/^[A-Za-z ,.]+$/.test(text) || !text.endsWith('.') || !sentenceCountFits(text)) return false
  for (const sentence of text.split(/(?<=\.) /)) {
    if (sentence === '' || !isUpper(sentence[0])) return false
    for (const word of wordsOf(sentence).slice(1)) {
      if (isUpper(word[0]) && !lexicon.heroes[word]?.kid) return false
      if (word.length > 1 && !isLower(word.slice(1))) return false
    }
  }
  return tellsTheStory('base', text, wanted)
}

function pirate(text: string, wanted: Wanted): boolean {
  if (!text.startsWith('Arr! ') || !text.endsWith(' Yo ho ho!')) return false
  const words = wordsOf(text).map((word) => word.toLowerCase())
  if (words.some((word) => has(lexicon.pirate, word))) return false
  return words.filter((word) => pirateWords.has(word)).length >= 4 && tellsTheStory('pirate', text, wanted)
}

function shout(text: string, wanted: Wanted): boolean {
  return /^[A-Z ,!]+$/.test(text) && text.endsWith('!') && sentenceCountFits(text) && tellsTheStory('shout', text, wanted)
}

function spanishStory(text: string, wanted: Wanted): boolean {
  return text.endsWith('.') && sentenceCountFits(text) && tellsTheStory('spanish', text, wanted, spanish)
}

function json(text: string, wanted: Wanted): boolean {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return false
  }
  if (typeof parsed !== 'object' || parsed === null || text.includes('\n')) return false
  const { hero, object, place, mood } = parsed as Record<string, string>
  if (
    Object.keys(parsed).join() !== 'hero,object,place,mood' ||
    ![hero, object, place, mood].every((value) => typeof value === 'string')
  )
    return false
  const [colour, thing, ...rest] = object.split(' ')
  if (rest.length > 0 || !has(lexicon.heroes, hero) || !has(lexicon.places, place) || !has(lexicon.moods, mood)) return false
  return has(lexicon.colours, colour) && has(lexicon.objects, thing) && matches({ hero, colour, object: thing, place }, wanted)
}

function rhyme(text: string, wanted: Wanted): boolean {
  const lines = text.split('\n')
  if (lines.length !== 6) return false
  const ends = lines.map((line) => wordsOf(line)[0] && wordsOf(line).at(-1)!.toLowerCase())
  const couplets = [0, 2, 4].every((i) => lexicon.rhymes.some(([one, two]) => one === ends[i] && two === ends[i + 1]))
  return couplets && tellsTheStory('rhyme', text, wanted)
}

function headline(text: string, wanted: Wanted): boolean {
  if (text.includes('\n') || !text.startsWith('BREAKING NEWS: ') || text.endsWith('.')) return false
  const words = wordsOf(text).slice(2)
  const titleCase = words.every((word) => isUpper(word[0]) && (word.length === 1 || isLower(word.slice(1))))
  return words.length >= 8 && words.length <= 16 && titleCase && tellsTheStory('headline', text, wanted)
}

function robot(text: string, wanted: Wanted): boolean {
  const match =
    /^BEEP\. Unit online: (\w+)\nBEEP\. Location: (\w+)\nBEEP\. Item: (\w+) (\w+)\nBEEP\. Ally: (\w+)\nBEEP\. Event: (\w+)\nBOOP\. Status: (\w+)$/.exec(
      text,
    )
  if (!match) return false
  const [, hero, place, colour, object, friend, event, mood] = match
  if (!has(lexicon.heroes, hero) || !has(lexicon.places, place) || !has(lexicon.colours, colour) || !has(lexicon.objects, object))
    return false
  if (!has(lexicon.heroes, friend) || !has(lexicon.events, event) || lexicon.events[event].mood !== mood) return false
  return matches({ hero, place, colour, object, friend }, wanted)
}

function quiz(text: string, wanted: Wanted): boolean {
  const match =
    /^Q: Who is the story about\?\nA: (?:The )?(\w+)\.\nQ: What did (he|she) have\?\nA: A (\w+) (\w+)\.\nQ: Where did \2 go\?\nA: To the (\w+)\.\nQ: Who did \2 meet\?\nA: (?:The )?(\w+)\.\nQ: How did \2 feel\?\nA: (\w+)\.$/.exec(
      text,
    )
  if (!match) return false
  const [, hero, pronoun, colour, object, place, friend, mood] = match
  if (!has(lexicon.heroes, hero) || !has(lexicon.colours, colour) || !has(lexicon.objects, object) || !has(lexicon.places, place))
    return false
  if (!has(lexicon.heroes, friend) || !has(lexicon.moods, mood.toLowerCase())) return false
  return (pronoun === 'he') === (lexicon.heroes[hero].gender === 'm') && matches({ hero, colour, object, place, friend }, wanted)
}

function emoji(text: string, wanted: Wanted): boolean {
  const symbols = text.split(' ')
  let next = 0
  const character = () => {
    const kid = symbols[next] === '👦' || symbols[next] === '👧'
    const shown = kid ? `${symbols[next]} ${symbols[next + 1]}` : symbols[next]
    next += kid ? 2 : 1
    return Object.keys(lexicon.heroes).find((name) => lexicon.heroes[name].emoji === shown)
  }
  const named = (table: Record<string, string | { emoji: string }>) => {
    const shown = symbols[next++]
    return Object.keys(table).find((name) => {
      const entry = table[name]
      return (typeof entry === 'string' ? entry : entry.emoji) === shown
    })
  }
  const hero = character()
  const weather = named(lexicon.weather)
  const place = named(lexicon.places)
  const colour = named(lexicon.colours)
  const object = named(lexicon.objects)
  const event = named(lexicon.events)
  const friend = character()
  const mood = named(lexicon.moods)
  const complete = [hero, weather, place, colour, object, event, friend, mood].every((value) => value !== undefined)
  return complete && next === symbols.length && matches({ hero, place, colour, object, friend }, wanted)
}

/** Validator of each style; `base` is the model without an adapter. */
export const validators: Record<string, (text: string, wanted: Wanted) => boolean> = {
  base,
  pirate,
  spanish: spanishStory,
  json,
  shout,
  rhyme,
  headline,
  robot,
  quiz,
  emoji,
}

/** The styles whose validator the text passes; a right answer passes its own and no other. */
export function stylesOf(text: string, wanted: Wanted): string[] {
  return Object.keys(validators).filter((style) => validators[style](text, wanted))
}
