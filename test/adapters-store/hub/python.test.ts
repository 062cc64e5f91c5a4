/** One cache for this server and Python's huggingface_hub: each serves what the other has fetched. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { Hub } from '../../../adapters-store/hub/hub.ts'
import { type HubName, parseHubName } from '../../../adapters-store/index.ts'
import { filesOf, localHub } from '../../support/local-hub.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'

const run = promisify(execFile)
const python = (script: string, environment: Record<string, string>) =>
  run('python3', ['-c', script], {
    env: { ...process.env, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1', ...environment },
  })
const missing = await python('import huggingface_hub', {}).then(
  () => false,
  () => 'python3 has no huggingface_hub',
)
const SNAPSHOT = `
import sys, huggingface_hub
print(huggingface_hub.snapshot_download('org/pirate', allow_patterns=['adapter_*']))
print(huggingface_hub.hf_hub_download('org/pirate', 'adapter_model.safetensors'))
`

t.test('one cache', { skip: missing }, async (t) => {
  const local = await localHub(t)
  local.commit('org/pirate', { ...filesOf(demoModel('adapters/pirate')), 'README.md': 'x' })
  const cacheOf = () => path.join(temporaryFolder(t), 'hub')
  const fetch = (cache: string, offline: boolean) =>
    new Hub({ endpoint: local.endpoint, offline, cache }).fetch(
      parseHubName('org/pirate') as HubName,
      'adapter',
      new AbortController().signal,
    )
  const ours = cacheOf()
  const { directory } = await fetch(ours, false)
  const { stdout } = await python(SNAPSHOT, { HF_HUB_CACHE: ours, HF_HUB_OFFLINE: '1', HF_ENDPOINT: local.endpoint })
  t.equal(stdout, `${directory}\n${directory}/adapter_model.safetensors\n`)
  const scan = await python(
    'import huggingface_hub; i = huggingface_hub.scan_cache_dir(); print(len(i.repos), len(i.warnings))',
    {
      HF_HUB_CACHE: ours,
    },
  )
  t.equal(scan.stdout, '1 0\n')

  const theirs = cacheOf()
  local.requests.length = 0
  const fetched = await python(SNAPSHOT, { HF_HUB_CACHE: theirs, HF_ENDPOINT: local.endpoint })
  t.ok(local.fetched().length > 0)
  local.requests.length = 0
  const offline = await fetch(theirs, true)
  t.equal(`${offline.directory}\n${offline.directory}/adapter_model.safetensors\n`, fetched.stdout)
  t.equal((await fetch(theirs, false)).directory, offline.directory)
  t.same(local.fetched(), [], 'what Python has fetched is not fetched again')
})
