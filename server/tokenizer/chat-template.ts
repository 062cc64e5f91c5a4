/** A model's chat template, rendered (server/jinja) as transformers' apply_chat_template renders it. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { TemplateError } from '../errors.ts'
import { Template } from '../jinja/template.ts'
import type { ChatMessage, RenderOptions } from '../types.ts'
import type { Json } from './definition.ts'
import { readJsonFile, tokenText } from './tokenizer.ts'

/** Special tokens that templates may name. */
const TOKENS = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']
/** Marks the end of the last message while it renders; the space after it shows whether the template trims messages. */
const MARK = '\u0001continue\u0001'
const MARK_AND_SPACE = `${MARK} `

export class ModelChatTemplate {
  /** The special tokens by name (bos_token, …). */
  readonly tokens: Record<string, string>
  readonly source: string | undefined
  private readonly own: Template | undefined

  /**
   * Without `source` every rendering is refused. Throws TemplateError when the template is not valid Jinja. One longer than `mostCompiled` UTF-16 units is not compiled here: it can be
   * handed to a process, and `render` must not be called.
   */
  constructor(source: string | undefined, tokens: Record<string, string>, mostCompiled = Number.POSITIVE_INFINITY) {
    this.tokens = tokens
    this.source = source
    this.own = source === undefined || source.length > mostCompiled ? undefined : compile(source)
  }

  /** Whether `render` may be called. */
  get rendersHere(): boolean {
    return this.own !== undefined
  }

  /** The template of `file`, or else the model folder's own, if there is one. Throws when a template is there and cannot be read or compiled. */
  static load(directory: string, file?: string): ModelChatTemplate {
    const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
    const beside = path.join(directory, 'chat_template.jinja')
    const source = file !== undefined ? readTemplate(file) : existsSync(beside) ? readTemplate(beside) : ofConfig(config)
    return new ModelChatTemplate(source, specialTokens(directory, config))
  }

  /** Throws TemplateError with the template's own message. */
  render(messages: ChatMessage[], options: RenderOptions): string {
    const template = this.own
    if (!template)
      throw new TemplateError(
        'the model has no chat template; start the server with --chat-template FILE, or use /v1/completions',
      )
    const known = this.source?.includes('developer') ? messages : messages.map(developerAsSystem)
    const shown = options.continueFinalMessage ? markFinal(known) : known
    const rendered = run(template, {
      // Absent ones are none, as transformers passes them: templates ask `tools is not none`.
      tools: options.tools ?? null,
      documents: null,
      ...this.tokens,
      ...options.kwargs,
      messages: shown,
      add_generation_prompt: options.addGenerationPrompt,
    })
    return options.continueFinalMessage ? cutAtMark(rendered) : rendered
  }
}

/** OpenAI's name for system since 2024-12: templates from before leave such a message out, or fail. */
const developerAsSystem = (message: ChatMessage): ChatMessage =>
  message.role === 'developer' ? { ...message, role: 'system' } : message

function compile(source: string): Template {
  try {
    return new Template(source)
  } catch (cause) {
    throw new TemplateError(`the chat template is not valid: ${(cause as Error).message}`, { cause })
  }
}

function run(template: Template, context: Record<string, unknown>): string {
  try {
    return template.render(context)
  } catch (cause) {
    throw new TemplateError(`the chat template failed: ${(cause as Error).message}`, { cause })
  }
}

function readTemplate(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`the chat template ${file} cannot be read: ${(error as Error).message}`)
  }
}

/** tokenizer_config.json's chat_template: one, or a list of named ones of which `default` serves. */
function ofConfig({ chat_template }: Json): string | undefined {
  if (typeof chat_template === 'string') return chat_template
  if (!Array.isArray(chat_template)) return undefined
  return (chat_template as { name: string; template: string }[]).find((item) => item.name === 'default')?.template
}

/** From tokenizer_config.json, or special_tokens_map.json where older models keep them. */
function specialTokens(directory: string, config: Json): Record<string, string> {
  const map = readJsonFile(path.join(directory, 'special_tokens_map.json')) ?? {}
  const named = TOKENS.map((name) => [name, tokenText(config[name]) ?? tokenText(map[name])] as const)
  return Object.fromEntries(named.filter((pair): pair is [string, string] => pair[1] !== undefined))
}

function markFinal(messages: ChatMessage[]): ChatMessage[] {
  const final = messages.at(-1)
  if (typeof final?.content !== 'string')
    throw new TemplateError('continue_final_message needs a last message with text to continue')
  return [...messages.slice(0, -1), { ...final, content: final.content + MARK_AND_SPACE }]
}

/** The prompt up to the end of the last message's own text. Where the template trims messages, the text is trimmed. */
function cutAtMark(rendered: string): string {
  const at = rendered.lastIndexOf(MARK)
  if (at < 0) throw new TemplateError('continue_final_message: the chat template does not show the last message')
  const text = rendered.slice(0, at)
  return rendered.startsWith(MARK_AND_SPACE, at) ? text : text.trimEnd()
}
