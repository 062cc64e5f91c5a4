import t from 'tap'
import { downloadProgress } from '../../server/download-progress.ts'

t.test('lines: at the begin, every ten seconds, at the end', async (t) => {
  const printed: string[] = []
  let now = 0
  const tell = downloadProgress(
    false,
    (line) => printed.push(line),
    () => now,
  )
  const base = { name: 'org/base', totalBytes: 4_200_000_000, ended: false }
  tell({ ...base, bytes: 0 })
  tell({ ...base, bytes: 10 })
  tell({ name: 'org/small', totalBytes: 70_000, bytes: 0, ended: false })
  now = 11_000
  tell({ ...base, bytes: 2_100_000_000 })
  tell({ ...base, bytes: 2_100_000_001 })
  tell({ name: 'org/small', totalBytes: 70_000, bytes: 100, ended: true })
  tell({ ...base, bytes: 4_200_000_000, ended: true })
  t.same(printed, [
    'fetching org/base from the hub: 4.2 GB',
    'fetching org/small from the hub: 70.0 kB',
    'fetching org/base: 50 % of 4.2 GB',
    'org/small is not fetched',
    'org/base is fetched',
  ])
})
