/** Where a model's chat templates are said, and which of several is meant, as transformers looks for them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Json } from './definition.ts'

/** What serves where nothing else is asked for, and where tools are. */
export const DEFAULT = 'default'
export const TOOL_USE = 'tool_use'

/** Templates by name. Throws when one is there and cannot be read. */
export function templatesOf(directory: string, config: Json, file?: string): Map<string, string> {
  if (file !== undefined) return new Map([[DEFAULT, readTemplate(file)]])
  const beside = path.join(directory, 'chat_template.jinja')
  const all = existsSync(beside) ? new Map([[DEFAULT, readTemplate(beside)]]) : ofConfig(config)
  const further = path.join(directory, 'additional_chat_templates')
  if (existsSync(further))
    for (const name of readdirSync(further).sort())
      if (name.endsWith('.jinja')) all.set(name.slice(0, -'.jinja'.length), readTemplate(path.join(further, name)))
  return all
}

function readTemplate(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new Error(`the chat template ${file} cannot be read: ${(error as Error).message}`)
  }
}

/** tokenizer_config.json's chat_template: one, or a list of named ones. */
function ofConfig({ chat_template }: Json): Map<string, string> {
  if (typeof chat_template === 'string') return new Map([[DEFAULT, chat_template]])
  const list: unknown[] = Array.isArray(chat_template) ? chat_template : []
  const named = list.filter(
    (item): item is { name: string; template: string } =>
      typeof item === 'object' && item !== null && 'name' in item && typeof (item as Json).template === 'string',
  )
  return new Map(named.map(({ name, template }) => [name, template]))
}
