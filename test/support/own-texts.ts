/** Adapters of the demo model with tokenizers and chat templates of their own, and what transformers makes of those (test/fixtures/tokenizer/make_own.py). */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { demoModel, fixture, readJson } from './repo.ts'

export interface OwnText {
  /** By name, what the folder holds beside the adapter. */
  files: Record<string, string>
  /** Of each text, with special tokens and without. */
  ids: number[][]
  plain: number[][]
  /** Of `ids`, all and without special tokens. */
  texts: string[]
  ordinary: string[]
  chat: number[]
  /** The tokenizer's end of a sequence. */
  end: number
}

export const OWN = readJson<{ texts: string[]; messages: object[]; variants: Record<string, OwnText> }>(
  fixture('tokenizer', 'own.json'),
)

/** The demo model's own file of that name. */
export const baseFile = (name: string) => readJson<Record<string, unknown>>(demoModel('base', name))

/** A copy of a demo adapter, with further files. */
export function adapterWith(folder: string, files: Record<string, string | object>, from = 'pirate'): string {
  mkdirSync(folder, { recursive: true })
  cpSync(demoModel('adapters', from), folder, { recursive: true })
  for (const [name, content] of Object.entries(files))
    writeFileSync(
      path.join(folder, name),
      typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content),
    )
  return folder
}
