import { mkdirSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { hubSettings } from '../../../adapters-store/index.ts'
import { temporaryFolder } from '../../support/repo.ts'

t.test('where the cache is', async (t) => {
  const cache = (environment: Record<string, string>) => hubSettings(environment).cache
  t.equal(cache({}), path.join(homedir(), '.cache/huggingface/hub'))
  t.equal(cache({ XDG_CACHE_HOME: '/x' }), '/x/huggingface/hub')
  t.equal(cache({ XDG_CACHE_HOME: '/x', HF_HOME: '/home' }), '/home/hub')
  t.equal(cache({ HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old' }), '/old')
  t.equal(cache({ HF_HOME: '/home', HUGGINGFACE_HUB_CACHE: '/old', HF_HUB_CACHE: '/new' }), '/new')
  t.equal(cache({ HF_HOME: '/home', HF_HUB_CACHE: '' }), '/home/hub', 'an empty variable is none')
})

t.test('token, endpoint, offline', async (t) => {
  const home = temporaryFolder(t)
  t.match(hubSettings({ HF_HOME: home }), { endpoint: 'https://huggingface.co', token: undefined, offline: false })
  mkdirSync(home, { recursive: true })
  writeFileSync(path.join(home, 'token'), ' hf_file\n')
  t.equal(hubSettings({ HF_HOME: home }).token, 'hf_file')
  t.equal(hubSettings({ HF_HOME: home, HF_TOKEN: 'hf_variable' }).token, 'hf_variable')
  t.equal(hubSettings({ HF_HOME: '/none', HF_TOKEN_PATH: path.join(home, 'token') }).token, 'hf_file')
  t.equal(hubSettings({ HF_ENDPOINT: 'http://mirror/api/' }).endpoint, 'http://mirror/api')
  for (const [value, offline] of [
    ['1', true],
    ['TRUE', true],
    ['yes', true],
    ['on', true],
    ['0', false],
    ['', false],
    ['no', false],
  ] as const)
    t.equal(hubSettings({ HF_HUB_OFFLINE: value }).offline, offline, value)
  t.equal(hubSettings({ TRANSFORMERS_OFFLINE: '1' }).offline, true)
})
