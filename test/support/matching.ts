/** Whether a grammar takes a text: XGrammar over a vocabulary of bytes. */
import { Compiler } from '../../server/structured/compiler.ts'
import type { Constraint } from '../../server/structured/constraint.ts'
import { sourceOf } from '../../server/structured/convert.ts'
import { ConstraintError } from '../../server/structured/ebnf.ts'
import { canBeText } from '../../server/structured/utf8.ts'
import type { Vocabulary } from '../../server/structured/vocabulary.ts'

/** Token 0 ends an answer, token i + 1 is byte i. */
export function ofBytes(): Vocabulary {
  // Bytes that no text has are no tokens, as in any vocabulary (packVocabulary).
  const all = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)).map((one) =>
    canBeText(one) ? one : new Uint8Array(),
  )
  const starts = [0, 0]
  for (const { length } of all) starts.push((starts.at(-1) as number) + length)
  return { id: 0, bytes: Uint8Array.from(all.flatMap((one) => [...one])), starts: Int32Array.from(starts), ends: [0] }
}

const compiler = new Compiler()
compiler.learn(ofBytes())

/** A function that says whether a whole text is what the constraint allows. Rejects with ConstraintError. */
export async function matching(constraint: Constraint): Promise<(text: string) => Promise<boolean>> {
  const compiled = await compiler.compile(0, sourceOf(constraint))
  return async (text) => {
    const matcher = await compiler.matcher(compiled)
    try {
      return [...new TextEncoder().encode(text)].every((byte) => matcher.acceptToken(byte + 1)) && matcher.acceptToken(0)
    } finally {
      matcher.dispose()
    }
  }
}

/** Why a constraint cannot be had. */
export async function refusal(constraint: Constraint): Promise<ConstraintError> {
  const error = await matching(constraint).then(
    () => undefined,
    (error) => error,
  )
  if (error instanceof ConstraintError) return error
  throw error ?? new Error(`${JSON.stringify(constraint)} is not refused`)
}
