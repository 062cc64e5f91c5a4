/** Asserts that an adapter is refused, with which code, and that the message names what it should, and no path: clients are told it. */
import { dirname } from 'node:path'
import type t from 'tap'
import {
  AdapterError,
  type AdapterErrorCode,
  type BaseModel,
  type LoadOptions,
  loadAdapter,
  planAdapter,
} from '../../adapters-store/index.ts'
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
    const told = planned(folder, model, loading)
    if (told !== 'served' || !VALUES.test(error.message)) t.equal(told, error.message, 'lorikeet check says the same')
    return
  }
  t.fail('the adapter was accepted')
}

/** What only values tell: a check that reads none of them cannot. */
const VALUES = /NaN or infinite|beyond (float16|bfloat16|float32)|has norm 0|differs from .* one tensor of them/

/** Why `lorikeet check` would refuse it, without a look at its values. */
function planned(folder: string, model: BaseModel, loading: LoadOptions): string {
  try {
    planAdapter('bad', folder, model, loading)
    return 'served'
  } catch (error) {
    return (error as Error).message
  }
}

type Tap = Pick<typeof t, 'equal' | 'match' | 'notOk' | 'fail' | 'teardown'>

export interface Case {
  what: string
  fixture?: string
  change(config: Config, tensors: Tensors): void
  code?: AdapterErrorCode
  names: (string | RegExp)[]
}
