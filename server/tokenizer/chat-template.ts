/** A model's chat template, rendered (server/jinja) as transformers' apply_chat_template renders it. */
import path from 'node:path'
import { TemplateError } from '../errors.ts'
import { Template } from '../jinja/template.ts'
import type { ChatMessage, RenderOptions } from '../types.ts'
import { cutAtMark, marked, shownTo } from './conversation.ts'
import type { Json } from './definition.ts'
import { DEFAULT, TOOL_USE, templatesOf } from './named-templates.ts'
import { readJsonFile, tokenText } from './tokenizer.ts'

/** Special tokens that templates may name. */
const TOKENS = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']

export class ModelChatTemplate {
  /** The special tokens by name (bos_token, …). */
  readonly tokens: Record<string, string>
  readonly source: string | undefined
  private readonly own: Template | undefined
  /** Others that the model has, by name. */
  private readonly others = new Map<string, ModelChatTemplate>()

  /**
   * Without `source` every rendering is refused. Throws TemplateError when the template is not valid Jinja. One longer than `mostCompiled` UTF-16 units is not compiled here: it can be
   * handed to a process, and `render` must not be called. `now`: what strftime_now shows; the clock's time otherwise.
   */
  constructor(
    source: string | undefined,
    tokens: Record<string, string>,
    mostCompiled = Number.POSITIVE_INFINITY,
    now?: () => Date,
  ) {
    this.tokens = tokens
    this.source = source
    this.own = source === undefined || source.length > mostCompiled ? undefined : compile(source, now)
  }

  /** Whether `render` may be called. */
  get rendersHere(): boolean {
    return this.own !== undefined
  }

  /** The template of `file`, or else the model folder's own, if there is one. Throws when a template is there and cannot be read or compiled. */
  static load(directory: string, file?: string): ModelChatTemplate {
    const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
    const tokens = specialTokens(directory, config)
    return ModelChatTemplate.of(templatesOf(directory, config, file), tokens)
  }

  /** The default one of several, which knows the others. */
  static of(sources: ReadonlyMap<string, string>, tokens: Record<string, string>, mostCompiled?: number): ModelChatTemplate {
    const template = new ModelChatTemplate(sources.get(DEFAULT), tokens, mostCompiled)
    for (const [name, source] of sources)
      template.others.set(name, name === DEFAULT ? template : new ModelChatTemplate(source, tokens, mostCompiled))
    return template
  }

  /** All of them by name. */
  get sources(): ReadonlyMap<string, string> {
    const named = [...this.others].map(([name, { source }]) => [name, source] as const)
    return new Map([[DEFAULT, this.source] as const, ...named].filter((pair): pair is [string, string] => pair[1] !== undefined))
  }

  /** Which of several serves: the one for tools where the conversation has some, the default one otherwise. */
  for({ tools }: RenderOptions): ModelChatTemplate {
    return (tools && this.others.get(TOOL_USE)) ?? this
  }

  /** The model's template of this name, which a request may ask for instead of bringing one. */
  named(name: string): ModelChatTemplate | undefined {
    return this.others.get(name)
  }

  /** Throws TemplateError with the template's own message. */
  render(messages: ChatMessage[], options: RenderOptions): string {
    const { own: template, source } = this
    if (!template || source === undefined)
      throw new TemplateError(
        'the model has no chat template; start the server with --chat-template FILE, or use /v1/completions',
      )
    const known = shownTo(template.content, source, messages)
    const { messages: shown, text } = options.continueFinalMessage ? marked(known) : { messages: known }
    const rendered = run(template, {
      // Absent ones are none, as transformers passes them: templates ask `tools is not none`.
      tools: options.tools ?? null,
      documents: options.documents ?? null,
      ...this.tokens,
      ...options.kwargs,
      messages: shown,
      add_generation_prompt: options.addGenerationPrompt,
    })
    return text === undefined ? rendered : cutAtMark(rendered, text)
  }
}

function compile(source: string, now?: () => Date): Template {
  try {
    return new Template(source, now)
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

/** From tokenizer_config.json, or special_tokens_map.json where older models keep them; and those that only this model has (image_token). */
function specialTokens(directory: string, config: Json): Record<string, string> {
  const map = readJsonFile(path.join(directory, 'special_tokens_map.json')) ?? {}
  const own = Object.keys(config).filter((name) => name.endsWith('_token') && !TOKENS.includes(name))
  const tokens: Record<string, string> = {}
  const add = (name: string, ...values: unknown[]) => {
    const text = values.map(tokenText).find((found) => found !== undefined)
    if (text !== undefined) tokens[name] = text
  }
  for (const name of TOKENS) add(name, config[name], map[name])
  for (const name of own) add(name, config[name])
  for (const named of [config.extra_special_tokens, config.model_specific_special_tokens])
    if (typeof named === 'object' && named !== null && !Array.isArray(named))
      for (const [name, value] of Object.entries(named)) add(name, value)
  return tokens
}
