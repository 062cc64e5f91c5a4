/** A process of its own that reads a store of registrations (adapter-state.ts) to its end: it exits with 0 if that can be done. */
import { open } from 'lmdb'

const database = open({ path: process.argv[2], readOnly: true })
for (const { value } of database.getRange())
  if (value === null || typeof value !== 'object') throw new Error('it holds no registrations')
await database.close()
