/** Events that are told again: in order, long ones in pieces, to readers who come at any time. */
import t from 'tap'
import { SlicedArray } from '../../../server/json.ts'
import { EventLog } from '../../../server/responses/event-log.ts'

const read = async (log: EventLog, first: number) => {
  const all: unknown[] = []
  for await (const { json } of log.from(first)) all.push(JSON.parse(typeof json === 'string' ? json : json.join('')))
  return all
}

t.test('whoever reads gets all from their place on', async (t) => {
  let bytes = 0
  const log = new EventLog((more) => {
    bytes += more
  })
  const early = read(log, 0)
  const late = read(log, 3)
  const live = { status: 'queued' }
  log.add({ type: 'a', sequence_number: 0, response: live })
  live.status = 'completed'
  log.add({ type: 'b', sequence_number: 1, list: new SlicedArray([['x'.repeat(200_000)], [2]]) })
  log.add({ type: 'c', sequence_number: 2 })
  log.add({ type: 'd', sequence_number: 3 })
  const middle = read(log, 1)
  log.close()
  const all = [
    { type: 'a', sequence_number: 0, response: { status: 'queued' } },
    { type: 'b', sequence_number: 1, list: ['x'.repeat(200_000), 2] },
    { type: 'c', sequence_number: 2 },
    { type: 'd', sequence_number: 3 },
  ]
  t.same(await early, all, 'as it stood when it was told')
  t.same(await middle, all.slice(1))
  t.same(await late, all.slice(3))
  t.same(await read(log, 2), all.slice(2), 'when it is over too')
  t.same(await read(log, 9), [])
  t.equal(log.bytes, bytes)
  t.ok(bytes > 400_000)
})
