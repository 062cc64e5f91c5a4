/** Asserts that an adapter is refused, with which code, and that the message names what it should, and no path: clients are told it. */
import { dirname } from 'node:path'
import type t from 'tap'
import { AdapterError, type AdapterErrorCode, type LoadOptions, loadAdapter } from '../../adapters-store/index.ts'
import { fixture } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import type { Config, Tensors } from './write-adapter.ts'

export const base = baseModelOf(fixture('peft/biased/base'))
export const tied = baseModelOf(fixture('peft/tied/base'))
export const options: LoadOptions = { dtype: 'float16', blockBytes: 1024 }

export function refusal(
  t: Tap,
  folder: string,
  code: AdapterErrorCode,
  names: (string | RegExp)[],
  model = base,
  loading: LoadOptions = options,
) {
  try {
    loadAdapter('bad', folder, model, loading)
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
    t.equal(error.code, code, error.message)
    for (const name of names) t.match(error.message, name)
    for (const path of [dirname(folder), model.directory]) t.notOk(error.message.includes(path), `no path: ${error.message}`)
    return
  }
  t.fail('the adapter was accepted')
}

type Tap = Pick<typeof t, 'equal' | 'match' | 'notOk' | 'fail' | 'teardown'>

export interface Case {
  what: string
  fixture?: string
  change(config: Config, tensors: Tensors): void
  code?: AdapterErrorCode
  names: (string | RegExp)[]
}
