/** Tokenizers and chat templates that adapters bring. Each is tried once in a process, and kept for as long as an adapter that has it is in host memory or a request uses it. */
import { statSync } from 'node:fs'
import path from 'node:path'
import { AdapterError, type AdapterImage, type AdapterText } from '../../adapters-store/index.ts'
import {
  type MessageFormats,
  REASONING_FORMATS,
  REASONING_SPELLINGS,
  TOOL_FORMATS,
  TOOL_SPELLINGS,
} from '../openai/message/formats.ts'
import { formatsOf, toolFormatOf } from '../openai/message/from-template.ts'
import { isScoreTemplate } from '../pooling/score-marks.ts'
import type { AdapterTexts, ServedText } from '../types.ts'
import { ModelChatTemplate } from './chat-template.ts'
import { DEFAULT, TOOL_USE } from './named-templates.ts'
import type { Spellings } from './process-jobs.ts'
import type { Lesson } from './process-pool.ts'
import type { ModelPromptReader } from './prompt-reader.ts'
import { Overrun } from './text-process.ts'
import { TokenTexts } from './token-texts.ts'
import type { ModelTokenizer } from './tokenizer.ts'

/** Milliseconds that a process may take to learn a tokenizer, and how many more for each byte of it: ten times what the slowest takes that we know. */
const LEARN_MS = 10_000
const LEARN_MS_PER_BYTE = 0.002

/** UTF-16 units of a template that the server's own thread compiles, in some 15 ms at most; longer ones are rendered in processes alone. No model's that we know is as long. */
const MOST_COMPILED = 32 << 10

/** What the base has. */
interface Base {
  folder: string
  tokenizer: ModelTokenizer
  template: ModelChatTemplate
  prompts: ModelPromptReader
  formats?: MessageFormats
  scoreTemplate?: boolean
}

export class OwnTexts implements AdapterTexts {
  private readonly base: Base
  private readonly baseBytes: number
  /** By digest: adapters with the same share it. */
  private readonly known = new Map<string, WeakRef<AdapterText>>()
  private readonly gone = new FinalizationRegistry<string>((digest) => {
    if (!this.known.get(digest)?.deref()) this.known.delete(digest)
  })
  private readonly served = new WeakMap<AdapterText, ServedText>()
  private readonly trials = new Map<string, Promise<AdapterText>>()
  private closed = false

  constructor(base: Base) {
    this.base = base
    this.baseBytes = statSync(path.join(base.folder, 'tokenizer.json')).size
  }

  /** The image, its text found to be one that can be served. Rejects with AdapterError. */
  async admit(image: AdapterImage): Promise<AdapterImage> {
    const { text } = image
    return text ? { ...image, text: await this.admitText(text) } : image
  }

  /** Likewise of what the folder says alone. */
  async admitText(text: AdapterText): Promise<AdapterText> {
    return this.known.get(text.digest)?.deref() ?? (await this.trial(text))
  }

  of(text: AdapterText): ServedText {
    const served = this.served.get(text)
    if (served) return served
    throw new Error(`the text ${text.digest} was never admitted`)
  }

  /** Trials end with the processes. */
  close(): void {
    this.closed = true
  }

  private trial(text: AdapterText): Promise<AdapterText> {
    const { digest } = text
    const under = this.trials.get(digest)
    if (under) return under
    const trial = this.admitted(text).finally(() => this.trials.delete(digest))
    this.trials.set(digest, trial)
    return trial
  }

  private async admitted(text: AdapterText): Promise<AdapterText> {
    const formats = this.formatsOf(text)
    const lesson = this.lessonOf(text)
    const spellings = await this.tried(lesson)
    const bytes = spellings ? spellings.text.byteLength + spellings.at.byteLength + spellings.size.byteLength : 0
    const admitted = { ...text, bytes: text.bytes + bytes }
    const scoreTemplate = text.template === undefined ? this.base.scoreTemplate === true : isScoreTemplate(text.template)
    this.served.set(admitted, { ...this.make(text, lesson, spellings), formats, scoreTemplate })
    this.known.set(text.digest, new WeakRef(admitted))
    this.gone.register(admitted, text.digest)
    return admitted
  }

  /** What it says goes before what its own template shows, and both before the base's. */
  private formatsOf({ parsers = {}, template }: AdapterText): MessageFormats {
    const { formats = {} } = this.base
    const tools =
      known('tool_call_parser', parsers.tools, TOOL_FORMATS, TOOL_SPELLINGS) ?? toolFormatOf(template) ?? formats.tools
    const reasoning = known('reasoning_parser', parsers.reasoning, REASONING_FORMATS, REASONING_SPELLINGS) ?? formats.reasoning
    return formatsOf({ tools, reasoning }, undefined)
  }

  private lessonOf({ digest, definition, specialIds, template, toolTemplate, tokens }: AdapterText): Lesson {
    const bytes = definition ? this.baseBytes + definition.byteLength : 0
    const templates = [template, toolTemplate].filter((source) => source !== undefined)
    return {
      job: { kind: 'learn', digest, definition: definition && new Uint8Array(definition), specialIds, templates, tokens },
      milliseconds: Math.round(LEARN_MS + bytes * LEARN_MS_PER_BYTE),
    }
  }

  private async tried(lesson: Lesson): Promise<Spellings | undefined> {
    const own = lesson.job.templates.length > 0 || lesson.job.definition !== undefined
    if (!own) return undefined
    const answer = await this.base.prompts.learn(lesson).catch((cause: Error) => {
      if (this.closed) throw new AdapterError('adapter_store_closed', 'the server is closing')
      if (cause instanceof Overrun) throw refused(`its tokenizer and chat template ${cause.message} to be read`)
      throw new AdapterError('adapter_load_failed', 'its tokenizer could not be tried: try again', {
        detail: cause.message,
        cause,
      })
    })
    if ('spellings' in answer) return answer.spellings
    if (!('error' in answer)) throw new Error('a lesson was answered by something else')
    throw refused(answer.template ? answer.error : `tokenizer.json: it holds no tokenizer that can be served: ${answer.error}`)
  }

  private make(text: AdapterText, lesson: Lesson, spellings: Spellings | undefined): Pick<ServedText, 'tokenizer' | 'prompts'> {
    const { base } = this
    const template = ModelChatTemplate.of(ownTemplates(text) ?? base.template.sources, text.tokens, MOST_COMPILED)
    if (!spellings)
      return { tokenizer: base.tokenizer.withSpecial(text.specialIds), prompts: base.prompts.forAdapter({ template }) }
    const { longest, decoder } = spellings
    const tokenizer = new TokenTexts(spellingOf(spellings), decoder, text.specialIds, longest)
    return { tokenizer, prompts: base.prompts.forAdapter({ template, tokenizer: { longestToken: longest, lesson } }) }
  }
}

/** An adapter that has a template was trained with that: the base's other ones are none of its. */
function ownTemplates({ template, toolTemplate }: AdapterText): Map<string, string> | undefined {
  if (template === undefined) return undefined
  return new Map([[DEFAULT, template], ...(toolTemplate === undefined ? [] : [[TOOL_USE, toolTemplate] as const])])
}

const refused = (message: string) => new AdapterError('adapter_tokenizer_invalid', message)

/** Throws AdapterError for a name that nobody knows. */
function known<Name extends string>(
  key: string,
  said: string | undefined,
  names: readonly Name[],
  spellings: Readonly<Record<string, Name>>,
): Name | undefined {
  if (said === undefined) return undefined
  const name = Object.hasOwn(spellings, said) ? spellings[said] : names.find((one) => one === said)
  if (name === undefined)
    throw refused(`tokenizer_config.json: ${key} must be one of ${names.join(', ')}, not ${JSON.stringify(said.slice(0, 64))}`)
  return name
}

function spellingOf({ text, at, size }: Spellings) {
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  return (id: number) => (size[id] >= 0 ? utf8.decode(text.subarray(at[id], at[id] + size[id])) : undefined)
}
