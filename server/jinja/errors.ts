/** What goes wrong while a template is read or run, under Python's and Jinja2's names: what Jinja2 catches by its type is caught by it here too. */

export type ErrorKind =
  | 'TypeError'
  | 'ValueError'
  | 'KeyError'
  | 'IndexError'
  | 'OverflowError'
  | 'MemoryError'
  | 'ZeroDivisionError'
  | 'AttributeError'
  | 'UndefinedError'
  | 'SecurityError'
  | 'FilterArgumentError'
  | 'TemplateRuntimeError'
  | 'TemplateError'
  | 'TemplateSyntaxError'
  | 'AssertionError'

export class JinjaError extends Error {
  readonly kind: ErrorKind

  constructor(kind: ErrorKind, message: string) {
    super(message)
    this.kind = kind
  }
}

/** Whether the error is one of these. */
export function isKind(error: unknown, ...kinds: ErrorKind[]): error is JinjaError {
  return error instanceof JinjaError && kinds.includes(error.kind)
}

export const typeError = (message: string) => new JinjaError('TypeError', message)
export const valueError = (message: string) => new JinjaError('ValueError', message)
