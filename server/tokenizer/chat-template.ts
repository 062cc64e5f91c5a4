/** A model's chat template, rendered by @huggingface/jinja. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Template } from '@huggingface/jinja'
import { TemplateError } from '../errors.ts'
import type { ChatMessage, ChatTemplate } from '../types.ts'
import { readJsonFile, tokenText } from './tokenizer.ts'

/** Special tokens that templates may name. */
const TOKENS = ['bos_token', 'eos_token', 'unk_token', 'pad_token'] as const
/** Compiled templates of requests that bring their own; a client has few. */
const COMPILED_LIMIT = 64

type RenderOptions = Parameters<ChatTemplate['render']>[1]

export class ModelChatTemplate implements ChatTemplate {
  private readonly source: string
  private readonly tokens: Record<string, string>
  private readonly compiled = new Map<string, Template>()

  constructor(source: string, tokens: Record<string, string>) {
    this.source = source
    this.tokens = tokens
    this.compile(source)
  }

  /** The template of `file`, or the model folder's own; undefined when there is none. */
  static load(directory: string, file?: string): ModelChatTemplate | undefined {
    const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
    const beside = path.join(directory, 'chat_template.jinja')
    const source = file
      ? readFileSync(file, 'utf8')
      : existsSync(beside)
        ? readFileSync(beside, 'utf8')
        : ofConfig(config.chat_template)
    if (source === undefined) return undefined
    const tokens: Record<string, string> = {}
    for (const name of TOKENS) {
      const text = tokenText(config[name])
      if (text !== undefined) tokens[name] = text
    }
    return new ModelChatTemplate(source, tokens)
  }

  render(messages: ChatMessage[], options: RenderOptions): string {
    const rendered = this.run(options.template ?? this.source, {
      ...this.tokens,
      ...options.kwargs,
      messages,
      add_generation_prompt: options.addGenerationPrompt,
      ...(options.tools && { tools: options.tools }),
    })
    return options.continueFinalMessage ? cutAfterFinal(rendered, messages) : rendered
  }

  private run(source: string, context: Record<string, unknown>): string {
    try {
      return this.compile(source).render(context)
    } catch (cause) {
      throw new TemplateError(`the chat template failed: ${(cause as Error).message}`, { cause })
    }
  }

  private compile(source: string): Template {
    let template = this.compiled.get(source)
    if (!template) {
      template = new Template(source)
      if (this.compiled.size >= COMPILED_LIMIT) this.compiled.clear()
      this.compiled.set(source, template)
    }
    return template
  }
}

/** tokenizer_config.json's chat_template: one, or a list of named ones of which `default` serves. */
function ofConfig(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (!Array.isArray(value)) return undefined
  return (value as { name: string; template: string }[]).find((item) => item.name === 'default')?.template
}

/** The prompt up to the end of the last message's own text, so that the model goes on writing it (transformers' continue_final_message). */
function cutAfterFinal(rendered: string, messages: ChatMessage[]): string {
  const final = (messages[messages.length - 1]?.content ?? '').trim()
  const at = rendered.lastIndexOf(final)
  if (final === '' || at < 0) throw new TemplateError('continue_final_message needs a last message whose text the template keeps')
  return rendered.slice(0, at + final.length)
}
