/** What an adapter may be called. */
import { AdapterError } from './errors.ts'

const NAME_LIMIT = 256

export function requireName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names appear in headers, logs and metrics labels
  const whole = !/[\u0000-\u001f\u007f]|\p{Surrogate}/u.test(name)
  // Gateways read lists of names in metrics, and clients write such lists, with commas between them and spaces around.
  if (name !== '' && name.length <= NAME_LIMIT && whole && !name.includes(',') && name === name.trim()) return
  throw new AdapterError(
    'adapter_name_invalid',
    `${JSON.stringify(name.slice(0, NAME_LIMIT))} cannot be an adapter's name: 1 to ${NAME_LIMIT} whole characters without commas or control characters, and no space at either end`,
  )
}

export function taken(name: string, directory: string, other: string): AdapterError {
  return new AdapterError('adapter_name_taken', `the name ${name} is taken by another adapter`, {
    detail: `the name ${name} is taken by the adapter in ${directory}; ${other} holds another one and needs another name`,
  })
}
