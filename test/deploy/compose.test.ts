/** The containers that compose starts are locked up, reached from this machine alone, and have no password that everybody knows. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { readConfig } from '../../server/config/config.ts'
import { repoRoot } from '../support/repo.ts'

interface Service {
  read_only?: boolean
  cap_drop?: string[]
  security_opt?: string[]
  ports?: string[]
  environment?: Record<string, string>
  tmpfs?: string[]
}

const file = path.join(repoRoot(), 'deploy/docker/compose.yaml')
const { services } = parse(readFileSync(file, 'utf8'), { merge: true }) as { services: Record<string, Service> }

t.test('each service', async (t) => {
  t.same(Object.keys(services).sort(), ['grafana', 'lorikeet', 'prometheus'])
  for (const [name, { read_only, cap_drop, security_opt, ports = [], environment = {} }] of Object.entries(services)) {
    t.equal(read_only, true, `${name}: its image cannot be written`)
    t.same(cap_drop, ['ALL'], name)
    t.same(security_opt, ['no-new-privileges:true'], name)
    t.ok(ports.length > 0)
    for (const port of ports) t.match(port, /^127\.0\.0\.1:/, name)
    for (const setting of Object.keys(environment)) t.notMatch(setting, /PASSWORD|TOKEN|API_KEY$/, name)
  }
})

t.test('Grafana has no administrator, who would be admin with the password admin', async (t) => {
  t.match(services.grafana.environment, {
    GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION: 'true',
    GF_AUTH_DISABLE_LOGIN_FORM: 'true',
    GF_AUTH_BASIC_ENABLED: 'false',
    GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
  })
})

t.test('what the server writes can be written', async (t) => {
  const { environment = {}, tmpfs = [] } = services.lorikeet
  t.ok(readConfig([], environment).imageCache)
  for (const folder of [environment.HF_HUB_CACHE, environment.LORIKEET_IMAGE_CACHE])
    t.ok(
      tmpfs.some((mount) => folder.startsWith(`${mount.split(':')[0]}/`)),
      folder,
    )
})
