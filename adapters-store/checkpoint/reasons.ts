/** Why reading failed, in words that name no path and repeat no file: what is read may be anything, and its reader's clients may be anybody. */
import { getSystemErrorMap } from 'node:util'

/** `EACCES: permission denied`, of an error that the file system threw. */
export function systemReason(error: unknown): string {
  const { code, errno, message } = error as NodeJS.ErrnoException
  if (code === undefined || errno === undefined) return message
  return `${code}: ${getSystemErrorMap().get(errno)?.[1] ?? 'unknown error'}`
}

/** Where a text stops being JSON, of an error of JSON.parse or of a decoder; V8's own message repeats the text. */
export function jsonReason(error: unknown): string {
  const { message } = error as Error
  const position = /position \d+/.exec(message)
  if (position) return `at ${position[0]}`
  if (message === 'Unexpected end of JSON input') return 'it ends early'
  return error instanceof SyntaxError ? 'it begins with something else' : 'it is no UTF-8'
}
