/** How a macro takes its arguments. */
import { typeError } from './errors.ts'
import { Callable, Dict, type Keywords, Tuple, Undefined, type Value } from './values.ts'

export interface MacroForm {
  /** null: of the block that a call gets. */
  name: string | null
  /** Names of the parameters. */
  params: readonly string[]
  /** What its body uses beside them. */
  uses: { caller: boolean; keywords: boolean; rest: boolean }
}

/** What a macro's body gets; undefined: not given. */
export interface MacroArguments {
  values: (Value | undefined)[]
  caller?: Value
  keywords?: Dict
  rest?: Tuple
}

/** Throws TypeError for arguments that it does not take. */
export function macro({ name, params, uses }: MacroForm, body: (given: MacroArguments) => Value): Callable {
  const attributes = new Map<string, Value>([
    ['name', name],
    ['arguments', new Tuple(params)],
    ['catch_kwargs', uses.keywords],
    ['catch_varargs', uses.rest],
    ['caller', uses.caller],
  ])
  const invoke = (args: Value[], keywords: Keywords) => body(taken(name, params, uses, args, keywords))
  return new Callable(name ?? '', invoke, { type: 'Macro', attributes })
}

function taken(
  name: string | null,
  params: readonly string[],
  uses: MacroForm['uses'],
  args: Value[],
  given: Keywords,
): MacroArguments {
  const shown = name === null ? 'None' : `'${name}'`
  const keywords = new Map(given)
  const values: (Value | undefined)[] = args.slice(0, params.length)
  let foundCaller = args.length >= params.length && params.includes('caller')
  for (const param of params.slice(values.length)) {
    values.push(keywords.get(param))
    keywords.delete(param)
    if (param === 'caller') foundCaller = true
  }
  const all: MacroArguments = { values }
  if (uses.caller && !foundCaller) {
    all.caller = keywords.get('caller') ?? new Undefined(() => 'No caller defined')
    keywords.delete('caller')
  }
  if (uses.keywords) all.keywords = Dict.of(keywords)
  else if (keywords.size > 0) {
    const [odd] = keywords.keys()
    throw typeError(`macro ${shown} takes no keyword argument '${odd}'`)
  }
  if (uses.rest) all.rest = new Tuple(args.slice(params.length))
  else if (args.length > params.length) throw typeError(`macro ${shown} takes not more than ${params.length} argument(s)`)
  return all
}
