/** Where no answer is held to a format. */
import assert from 'node:assert'
import type { Grammars } from '../../server/types.ts'

export const noGrammars: Grammars = {
  lease: () => assert.fail('nobody asks for a format'),
  counters: { compiled: 0, refused: 0, reused: 0, threadsLost: 0 },
}
